"""Settings: one frozen class for each table of `config.toml`, which documents each value."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from stackyn_server.config.accounts import (
    AuthSettings,
    BillingSettings,
    FirebaseSettings,
    MailSettings,
    PlanSettings,
    RatesSettings,
    StreamsSettings,
    shipped_plans,
)
from stackyn_server.config.apps import (
    MOST_VARIABLES_BYTES,
    AppsSettings,
    DeadlinesSettings,
    HealthSettings,
    ProbeSettings,
    ReconcileSettings,
    RetriesSettings,
    SamplesSettings,
)
from stackyn_server.config.builds import BuildsSettings, ImagesSettings, ReadingSettings, SourceSettings
from stackyn_server.config.process import (
    ANY_ORIGIN,
    FRONTEND_LABELS,
    DatabaseSettings,
    EngineSettings,
    FrontendSettings,
    JobsSettings,
    MetricsSettings,
    PublicSettings,
    ServerSettings,
)
from stackyn_server.config.table import ConfigInvalid, Table
from stackyn_server.config.traffic import LONGEST_APP_PREFIX, HoldSettings, IngressSettings, NetworkSettings

__all__ = [
    "LONGEST_APP_PREFIX", "MOST_VARIABLES_BYTES", "AppsSettings", "AuthSettings", "BillingSettings",
    "BuildsSettings", "ConfigInvalid", "DatabaseSettings", "DeadlinesSettings", "EngineSettings",
    "FirebaseSettings", "FrontendSettings", "HealthSettings", "HoldSettings", "ImagesSettings",
    "IngressSettings", "JobsSettings", "MailSettings", "MetricsSettings", "NetworkSettings", "PlanSettings",
    "ProbeSettings", "PublicSettings", "RatesSettings", "ReadingSettings", "ReconcileSettings",
    "RetriesSettings", "SamplesSettings", "ServerSettings", "Settings", "SourceSettings", "StreamsSettings",
    "Table",
]  # fmt: skip


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
    plans: Mapping[str, PlanSettings] = Field(default_factory=shipped_plans)
    rates: RatesSettings = RatesSettings()
    streams: StreamsSettings = StreamsSettings()
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
            if port and (other_setting := users.setdefault(port, setting)) != setting:
                raise ValueError(f"{other_setting} and {setting} must differ")

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Those of `[public] allowed_origins`, and always our own console and CMS, as browsers spell them."""
        configured = self.public.allowed_origins
        if ANY_ORIGIN in configured:
            return (ANY_ORIGIN,)
        own = (self.public_url(label).lower() for label in FRONTEND_LABELS)
        return tuple(dict.fromkeys([*configured, *own]))

    def public_url(self, host_label: str) -> str:
        """Return the stable public address of `<host_label>.<base domain>`, without a trailing slash."""
        usual = {"http": 80, "https": 443}[self.public.scheme]
        ours = self.public.port or (
            self.ingress.https_port if self.public.scheme == "https" else self.ingress.http_port
        )
        suffix = "" if ours in (0, usual) else f":{ours}"
        return f"{self.public.scheme}://{host_label}.{self.public.base_domain}{suffix}"
