"""The server process itself: `[server]`, `[public]`, `[database]`, `[engine]`, `[jobs]`, `[metrics]`, `[frontend]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stackyn_server.config.table import Count, OptionalPort, Port, Seconds, Table


class ServerSettings(Table):
    data_dir: Path = Path("/var/lib/stackyn")
    host: str = "127.0.0.1"
    port: Port = 8080
    drain_seconds: Seconds = 30
    body_limit_bytes: Count = 1_048_576
    body_seconds: Seconds = 20
    header_seconds: Seconds = 10
    idle_seconds: Seconds = 75
    connections_per_address: Count = 200
    log_level: Literal["debug", "info", "warning", "error"] = "info"


ANY_ORIGIN = "*"


class PublicSettings(Table):
    base_domain: str = "localhost"
    scheme: Literal["http", "https"] = "http"
    port: OptionalPort = 0
    allowed_origins: tuple[str, ...] = (ANY_ORIGIN,)

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
    silence_seconds: Seconds = 60
    transfer_silence_seconds: Seconds = 600


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


class MetricsSettings(Table):
    token_file: str = ""


FRONTEND_LABELS = ("console", "cms")


class FrontendSettings(Table):
    """Folders of built web clients."""

    console: str = ""
    cms: str = ""
    port: Port = 8473

    @property
    def folders(self) -> dict[str, str]:
        """The folders that are set, by the label of their host name."""
        folders = zip(FRONTEND_LABELS, (self.console, self.cms), strict=True)
        return {label: folder for label, folder in folders if folder}
