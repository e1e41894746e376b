"""Tenants: `[auth]`, `[mail]`, `[billing]`, `[plans.*]`, `[rates]`, `[streams]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from stackyn_server.config.table import Count, OptionalPort, Seconds, Table


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
    strange_code_attempts: Count = 50
    own_codes_per_day: Count = 9
    code_cooldown_seconds: Seconds = 60
    fresh_minutes: Count = 15
    api_tokens: Count = 100
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


class PlanSettings(Table):
    """A billing plan; the names and units are those of the API contract, section 4."""

    display_name: str
    price: int = Field(ge=0)
    max_ram_mb: Count
    max_disk_mb: Count
    max_apps: Count
    max_cpu: float = Field(default=0, ge=0)
    max_build_memory_mb: Count = 1024
    always_on: bool = False
    auto_deploy: bool = False
    health_checks: bool = False
    logs: bool = False
    zero_downtime: bool = False
    workers: bool = False
    priority_builds: bool = False
    manual_deploy_only: bool = False


class StreamsSettings(Table):
    """Streams of logs and events, and WebSockets."""

    per_user: Count = 60
    per_app: Count = 30
    check_seconds: Seconds = 3
    reread_seconds: Seconds = 30
    stalled_seconds: Seconds = 30
    keep_alive_seconds: Seconds = 15


class RatesSettings(Table):
    """`<count>/<period>` in the notation of the `limits` library."""

    authentication_per_address: str = "60/minute"
    wrong_tokens_per_address: str = "120/minute"
    readiness_per_address: str = "120/minute"
    authentication_per_account: str = "10/minute"
    write_per_user: str = "120/minute"
    read_per_user: str = "1200/minute"
    free_failures: Count = 10
    failure_pause_seconds: Seconds = 2
    failure_pause_longest_seconds: Seconds = 1800


def shipped_plans() -> dict[str, PlanSettings]:
    on = {"always_on": True, "auto_deploy": True, "health_checks": True, "logs": True}
    pro = {**on, "zero_downtime": True, "workers": True, "priority_builds": True}

    def plan(
        name: str, price: int, ram: int, disk: int, cpu: float, apps: int, build_memory: int, **flags: bool
    ) -> PlanSettings:
        return PlanSettings(
            display_name=name,
            price=price,
            max_ram_mb=ram,
            max_disk_mb=disk,
            max_cpu=cpu,
            max_apps=apps,
            max_build_memory_mb=build_memory,
            **flags,
        )

    return {
        "free": plan("Free", 0, 256, 1024, 1, 1, 1024, manual_deploy_only=True),
        "starter": plan("Starter", 1900, 512, 5120, 2, 1, 2048, **on),
        "builder": plan("Builder", 2900, 1024, 10240, 4, 3, 4096, **on),
        "pro": plan("Pro", 4900, 2048, 20480, 8, 3, 8192, **pro),
    }
