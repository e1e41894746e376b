"""Settings: one frozen class per table of `config.toml`, which documents each value."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stackyn_server.errors import StackynError

Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
OptionalPort = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
RegistryHost = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$", max_length=255)
]
RegistryPlace = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9._-]+)*$", max_length=255)
]

MOST_VARIABLES_BYTES = 1_572_864  # of the 2 MiB with which Linux starts a program


class ConfigInvalid(StackynError):
    """`config.toml` can't be used. `message` names file, line, key and reason."""

    code = "CONFIG_INVALID"
    exit_code = 78  # EX_CONFIG of sysexits.h


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ServerSettings(Table):
    data_dir: Path = Path("/var/lib/stackyn")
    host: str = "127.0.0.1"
    port: Port = 8080
    drain_seconds: Seconds = 30
    body_limit_bytes: Count = 1_048_576
    body_seconds: Seconds = 20
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class PublicSettings(Table):
    base_domain: str = "localhost"
    scheme: Literal["http", "https"] = "http"
    port: OptionalPort = 0
    allowed_origins: tuple[str, ...] = ("*",)

    @property
    def is_local(self) -> bool:
        """True for names that never leave the machine, where development switches are allowed."""
        return self.base_domain == "localhost" or self.base_domain.endswith((".localhost", ".test"))


class DatabaseSettings(Table):
    url: str = ""
    binaries: str = ""
    pool_size: Count = 10
    statement_seconds: Seconds = 10
    connect_seconds: Seconds = 5


class EngineSettings(Table):
    socket: Path = Path("/var/run/docker.sock")
    request_seconds: Seconds = 30


LONGEST_APP_PREFIX = 21  # one bridge full of seats


class NetworkSettings(Table):
    subnet: ipaddress.IPv4Network = ipaddress.IPv4Network("10.213.0.0/16")
    build_subnet: ipaddress.IPv4Network = ipaddress.IPv4Network("10.214.0.0/20")
    close_host: bool = True
    quarantine_seconds: Seconds = 60  # on top of the longest hold


class IngressSettings(Table):
    provider: Literal["traefik", "none"] = "traefik"
    managed: bool = True
    http_port: Port = 80
    https_port: OptionalPort = 0
    binary: str = ""
    image: str = ""
    directory: str = ""
    entry_points: tuple[str, ...] = ("web",)
    confirm_seconds: Seconds = 15
    read_seconds: Seconds = 600
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    certificate_resolver: str = ""
    acme_email: str = ""
    acme_server: str = ""
    certificate_file: str = ""
    certificate_key_file: str = ""
    memory_mb: Count = 256
    metrics_port: Port = 8472
    reaches_loopback: bool = False


class HoldSettings(Table):
    """How the proxy keeps requests while an app wakes up or is swapped in place."""

    port: Port = 8471
    seconds: Seconds = 100
    most_per_app: Count = 100
    refuse_seconds: Seconds = 10


class ImagesSettings(Table):
    python: str = "stackyn/python:3.11"
    node: str = "stackyn/node:22"
    static: str = "stackyn/static:1"
    builder: str = "stackyn/builder:1"
    directory: Path = Path("/var/lib/stackyn-images")
    source: Literal["auto", "registry", "local"] = "auto"
    keep_days: Count = 30


class SourceSettings(Table):
    schemes: tuple[str, ...] = ("https",)
    allowed_private: tuple[str, ...] = ()
    max_mb: Count = 512
    max_files: Count = 50_000
    stall_seconds: Seconds = 20


class ReadingSettings(Table):
    """Limits of the processes that read tenants' files: for the plan, and to filter the build context."""

    memory_mb: Count = 256
    cpu_seconds: Count = 10
    context_cpu_seconds: Count = 120


class BuildsSettings(Table):
    concurrency: Count = 2
    memory_mb: Count = 1024
    cpu: float = Field(default=1.0, gt=0)
    max_processes: Count = 512
    disk_mb: Count = 8192
    image_mb: Count = 4096
    max_files: Count = 1_000_000
    cache_mb: Count = 4096
    cache_total_mb: Count = 20_480
    cache_days: Count = 30
    free_disk_mb: int = Field(default=1024, ge=0)
    log_limit_bytes: Count = 4_194_304
    host_ca_bundle: str = ""
    allowed_private: tuple[ipaddress.IPv4Network, ...] = ()
    plain_http_registries: tuple[RegistryHost, ...] = ()
    mirrors: Mapping[RegistryHost, tuple[RegistryPlace, ...]] = Field(default_factory=dict)
    registry_credentials: Count = 50


# What an operator may give to apps: the engine's own default set without what reaches beyond the container (raw
# packets, device nodes).
Capability = Literal[
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
]  # fmt: skip


class AppsSettings(Table):
    default_memory_mb: Count = 256
    default_disk_mb: Count = 1024
    default_cpu: float = Field(default=0.5, gt=0)
    default_port: Port = 8080
    max_processes: Count = 256
    variables: Count = 500
    variables_bytes: Annotated[int, Field(ge=1, le=MOST_VARIABLES_BYTES)] = 1_048_576
    capabilities: tuple[Capability, ...] = (
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE",
    )  # fmt: skip
    memory_reserve_mb: Annotated[int, Field(ge=0)] = 128
    idle_minutes: Annotated[float, Field(ge=0)] = 30
    keep_releases: Count = 5
    drain_seconds: Seconds = 30
    stop_grace_seconds: Seconds = 10
    restart_limit: Count = 10
    restart_window_seconds: Seconds = 600
    crash_lines: Count = 40
    log_keep_bytes: Count = 10_485_760
    reserved_slugs: tuple[str, ...] = (
        "api", "admin", "app", "cms", "console", "docs", "mail", "static", "status", "traefik", "www",
    )  # fmt: skip


class DeadlinesSettings(Table):
    """Seconds from the start of a phase until it ends the deployment."""

    fetching: Seconds = 300
    planning: Seconds = 30
    preparing: Seconds = 1200
    building: Seconds = 900
    releasing: Seconds = 600
    booting: Seconds = 60
    probing: Seconds = 120
    switching: Seconds = 30
    recording: Seconds = 60


class ProbeSettings(Table):
    """How a candidate is asked whether it is ready."""

    interval_seconds: Seconds = 0.25
    steady_seconds: Annotated[float, Field(ge=0)] = 3
    known_steady_seconds: Annotated[float, Field(ge=0)] = 0.5
    answer_seconds: Seconds = 30
    longest_seconds: Seconds = 900
    other_port_seconds: Seconds = 30


class RetriesSettings(Table):
    attempts: Count = 8
    first_seconds: Seconds = 2
    factor: float = Field(default=2.0, ge=1)
    longest_seconds: Seconds = 120
    jitter: float = Field(default=0.2, ge=0, le=1)


class JobsSettings(Table):
    sweep_seconds: Seconds = 30
    release_pool: Count = 8
    retire_pool: Count = 64
    mail_pool: Count = 4
    housekeeping_pool: Count = 2
    wake_pool: Count = 16
    priority_minutes: Count = 5
    keep_days: Count = 7
    heartbeat_seconds: Seconds = 5  # how often the leader shows that it lives
    stale_seconds: Seconds = 20  # after so long without a heartbeat, a server elsewhere may take over
    take_over_seconds: Seconds = 10  # for the holder of the data directory to end by itself, with --take-over
    ping_seconds: Seconds = 10  # between checks of the connection that hears of new jobs
    pause_first_seconds: Seconds = 0.1  # after something failed, until it is tried again; doubled each time
    pause_longest_seconds: Seconds = 5


class ReconcileSettings(Table):
    period_seconds: Seconds = 30
    steady_seconds: Seconds = 2
    garbage_seconds: Seconds = 300
    event_days: Count = 90
    idle_seconds: Seconds = 10


class HealthSettings(Table):
    """How serving apps of plans with `health_checks` are asked whether they are well."""

    interval_seconds: Seconds = 15
    timeout_seconds: Seconds = 5
    failures: Count = 3
    successes: Count = 2
    path: str = ""
    at_once: Count = 16


class SamplesSettings(Table):
    period_seconds: Seconds = 15
    at_once: Count = 16
    disk_seconds: Seconds = 60
    keep_hours: Count = 24
    coarse_seconds: Seconds = 300
    coarse_days: Count = 30


class FirebaseSettings(Table):
    project_id: str = ""
    web_api_key: str = ""
    certificates_url: str = (
        "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
    )
    lookup_url: str = "https://identitytoolkit.googleapis.com/v1/accounts:lookup"
    admin_credential_file: str = ""
    accounts_url: str = "https://identitytoolkit.googleapis.com/v1"
    session_hours: Count = 24


class AuthSettings(Table):
    token_hours: Count = 24
    signup: bool = True
    development_codes: bool = False
    code_minutes: Count = 10
    code_attempts: Count = 5
    code_cooldown_seconds: Seconds = 60
    keep_days: Count = 7
    firebase: FirebaseSettings = FirebaseSettings()


class MailSettings(Table):
    provider: Literal["log", "smtp", "resend"] = "log"
    sender: str = "Stackyn <no-reply@localhost>"
    smtp_host: str = ""
    smtp_port: OptionalPort = 587
    smtp_user: str = ""
    smtp_password_file: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    resend_url: str = "https://api.resend.com/emails"
    resend_key_file: str = ""


class BillingSettings(Table):
    provider: Literal["none", "lemonsqueezy"] = "none"
    default_plan: str = "free"
    admin_plan: str = "pro"
    trial_days: Count = 7
    trial_plan: str = "pro"
    webhook_secret_file: str = ""
    check_seconds: Seconds = 900
    variants: Mapping[str, str] = Field(default_factory=dict)
    test_endpoint: bool = False


class Plan(Table):
    """A billing plan; the names and units are those of the API contract, section 4."""

    display_name: str
    price: int = Field(ge=0)
    max_ram_mb: Count
    max_disk_mb: Count
    max_apps: Count
    max_build_memory_mb: Count = 1024
    always_on: bool = False
    auto_deploy: bool = False
    health_checks: bool = False
    logs: bool = False
    zero_downtime: bool = False
    workers: bool = False
    priority_builds: bool = False
    manual_deploy_only: bool = False


class RatesSettings(Table):
    """`<count>/<period>` in the notation of the `limits` library."""

    authentication_per_address: str = "60/minute"
    authentication_per_account: str = "10/minute"
    write_per_user: str = "120/minute"
    read_per_user: str = "1200/minute"


class MetricsSettings(Table):
    token_file: str = ""


class FrontendSettings(Table):
    """Folders of built web clients."""

    console: str = ""
    cms: str = ""
    port: Port = 8473

    @property
    def folders(self) -> dict[str, str]:
        """The folders that are set, by the label of their host name."""
        return {label: folder for label, folder in (("console", self.console), ("cms", self.cms)) if folder}


def _shipped_plans() -> dict[str, Plan]:
    on = {"always_on": True, "auto_deploy": True, "health_checks": True, "logs": True}
    pro = {**on, "zero_downtime": True, "workers": True, "priority_builds": True}

    def plan(name: str, price: int, ram: int, disk: int, apps: int, build_memory: int, **flags: bool) -> Plan:
        return Plan(
            display_name=name,
            price=price,
            max_ram_mb=ram,
            max_disk_mb=disk,
            max_apps=apps,
            max_build_memory_mb=build_memory,
            **flags,
        )

    return {
        "free": plan("Free", 0, 256, 1024, 1, 1024, manual_deploy_only=True),
        "starter": plan("Starter", 1900, 512, 5120, 1, 2048, **on),
        "builder": plan("Builder", 2900, 1024, 10240, 3, 4096, **on),
        "pro": plan("Pro", 4900, 2048, 20480, 3, 8192, **pro),
    }


class Settings(Table):
    server: ServerSettings = ServerSettings()
    public: PublicSettings = PublicSettings()
    database: DatabaseSettings = DatabaseSettings()
    engine: EngineSettings = EngineSettings()
    network: NetworkSettings = NetworkSettings()
    ingress: IngressSettings = IngressSettings()
    hold: HoldSettings = HoldSettings()
    images: ImagesSettings = ImagesSettings()
    source: SourceSettings = SourceSettings()
    reading: ReadingSettings = ReadingSettings()
    builds: BuildsSettings = BuildsSettings()
    apps: AppsSettings = AppsSettings()
    deadlines: DeadlinesSettings = DeadlinesSettings()
    probe: ProbeSettings = ProbeSettings()
    retries: RetriesSettings = RetriesSettings()
    jobs: JobsSettings = JobsSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    health: HealthSettings = HealthSettings()
    samples: SamplesSettings = SamplesSettings()
    auth: AuthSettings = AuthSettings()
    mail: MailSettings = MailSettings()
    billing: BillingSettings = BillingSettings()
    plans: Mapping[str, Plan] = Field(default_factory=_shipped_plans)
    rates: RatesSettings = RatesSettings()
    metrics: MetricsSettings = MetricsSettings()
    frontend: FrontendSettings = FrontendSettings()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Settings:
        for key in ("default_plan", "admin_plan", "trial_plan"):
            if getattr(self.billing, key) not in self.plans:
                raise ValueError(f"[billing] {key} names a plan that has no [plans.*] table")
        for variant, plan in self.billing.variants.items():
            if plan not in self.plans:
                raise ValueError(f"[billing.variants] {variant} names a plan that has no [plans.*] table")
        if self.auth.development_codes and not self.public.is_local:
            raise ValueError("[auth] development_codes is refused together with a public base domain")
        if self.billing.test_endpoint and not self.public.is_local:
            raise ValueError("[billing] test_endpoint is refused together with a public base domain")
        self._check_ports()
        if self.network.subnet.prefixlen > LONGEST_APP_PREFIX:
            raise ValueError(f"[network] subnet must be at least a /{LONGEST_APP_PREFIX}")
        if self.network.subnet.overlaps(self.network.build_subnet):
            raise ValueError("[network] subnet and build_subnet overlap")
        return self

    def _check_ports(self) -> None:
        users: dict[int, str] = {}
        for setting, port in (
            ("[server] port", self.server.port),
            ("[hold] port", self.hold.port),
            ("[frontend] port", self.frontend.port),
            ("[ingress] metrics_port", self.ingress.metrics_port),
            ("[ingress] http_port", self.ingress.http_port),
            ("[ingress] https_port", self.ingress.https_port),
        ):
            if port and (other := users.setdefault(port, setting)) != setting:
                raise ValueError(f"{other} and {setting} must differ")

    def public_url(self, host_label: str) -> str:
        """Return the stable public address of `<host_label>.<base domain>`, without a trailing slash."""
        usual = {"http": 80, "https": 443}[self.public.scheme]
        ours = self.public.port or (
            self.ingress.https_port if self.public.scheme == "https" else self.ingress.http_port
        )
        suffix = "" if ours in (0, usual) else f":{ours}"
        return f"{self.public.scheme}://{host_label}.{self.public.base_domain}{suffix}"
