"""Sign-in and profile: contract sections 2 and 4."""

from __future__ import annotations

from datetime import datetime

from stackyn_server.api.wire.base import (
    AccountRequestBody,
    Id,
    RequestBody,
    ResponseBody,
    Text,
    left_out_when_none,
    read_from,
)
from stackyn_server.domain.disk_use import DiskUse, in_mb
from stackyn_server.services.account_views import Profile, QuotaView
from stackyn_server.services.accounts import SignedInView


class GuessedBody(AccountRequestBody):
    """It shows a password or a code of the account."""

    def has_a_guess(self) -> bool:
        return True


class Login(GuessedBody):
    """With a password, or with a code of send-otp."""

    password: Text | None = None
    otp: Text | None = None


class CodeRequest(AccountRequestBody):
    pass


class CodeProof(GuessedBody):
    """`password`, if given, becomes the account's."""

    otp: Text
    password: Text | None = None


class SignUp(AccountRequestBody):
    password: Text


class PasswordReset(GuessedBody):
    otp: Text
    password: Text


class ProfileChange(RequestBody):
    """An absent key leaves a value as it is; so does an empty password.

    A new password needs `current_password`, except soon after signing in with a code or Firebase. `end_tokens` ends the
    account's API tokens with it.
    """

    full_name: Text | None = None
    company_name: Text | None = None
    password: Text | None = None
    current_password: Text | None = None
    end_tokens: bool | None = None

    def has_a_guess(self) -> bool:
        return bool(self.current_password)


class User(ResponseBody):
    id: Id
    email: str
    full_name: str | None
    company_name: str | None
    email_verified: bool
    is_admin: bool
    plan: str
    billing_status: str
    trial_started_at: datetime | None = left_out_when_none()
    trial_ends_at: datetime | None = left_out_when_none()


class SignedIn(ResponseBody):
    token: str
    user: User

    @classmethod
    def of(cls, signed_in: SignedInView) -> SignedIn:
        return cls(token=signed_in.token, user=User.from_view(signed_in.account))


class CodeSent(ResponseBody):
    """`otp` is only there on a development server."""

    message: str
    otp: str | None = left_out_when_none()


class NewUser(ResponseBody):
    id: str
    email: str


class SignedUp(ResponseBody):
    token: str
    user: NewUser


class Plan(ResponseBody):
    """A billing plan; `price` in US cents a month, sizes in MB, `max_cpu` in cores (0: as many as the machine has)."""

    name: str
    display_name: str
    price: int
    max_ram_mb: int
    max_disk_mb: int
    max_cpu: float
    max_apps: int
    always_on: bool
    auto_deploy: bool
    health_checks: bool
    logs: bool
    zero_downtime: bool
    workers: bool
    priority_builds: bool
    manual_deploy_only: bool

    @classmethod
    def of(cls, quota: QuotaView) -> Plan:
        values = quota.plan.model_dump(include=set(cls.model_fields))
        return cls(name=quota.plan_name, **values)


class OccupiedDisk(ResponseBody):
    """What the account occupies, measured every few minutes: written by apps, own layers of images, caches of builds,
    stored logs. All but the caches count towards `max_disk_mb`; these get what is left."""

    apps_mb: int
    images_mb: int
    caches_mb: int
    logs_mb: int

    @classmethod
    def of(cls, use: DiskUse) -> OccupiedDisk:
        return cls(
            apps_mb=in_mb(use.apps_bytes),
            images_mb=in_mb(use.images_bytes),
            caches_mb=in_mb(use.caches_bytes),
            logs_mb=in_mb(use.logs_bytes),
        )


class Quota(ResponseBody):
    """The enforced limits, what the living apps reserve of them, and what they occupy of the disk."""

    plan_name: str
    plan: Plan
    app_count: int
    total_ram_mb: int
    total_disk_mb: int
    total_cpu: float
    disk_use: OccupiedDisk

    @classmethod
    def of(cls, quota: QuotaView) -> Quota:
        return cls(
            plan_name=quota.plan_name,
            plan=Plan.of(quota),
            app_count=quota.reserved.apps,
            total_ram_mb=quota.reserved.memory_mb,
            total_disk_mb=quota.reserved.disk_mb,
            total_cpu=quota.reserved.cpu,
            disk_use=OccupiedDisk.of(quota.disk),
        )


class Subscription(ResponseBody):
    status: str
    plan: str
    trial_started_at: datetime | None = left_out_when_none()
    trial_ends_at: datetime | None = left_out_when_none()
    ram_limit_mb: int = read_from("memory_limit_mb")
    disk_limit_gb: int


class PlainUser(ResponseBody):
    id: Id
    email: str
    full_name: str | None
    company_name: str | None
    email_verified: bool
    plan: str
    is_admin: bool
    created_at: datetime
    updated_at: datetime


class Me(ResponseBody):
    id: str
    email: str
    full_name: str | None
    company_name: str | None
    email_verified: bool
    plan: str
    billing_status: str
    is_admin: bool
    created_at: datetime
    updated_at: datetime
    quota: Quota
    subscription: Subscription | None = left_out_when_none()

    @classmethod
    def of(cls, profile: Profile) -> Me:
        return cls(
            **PlainUser.from_view(profile.account).model_dump(),
            billing_status=profile.account.billing_status,
            quota=Quota.of(profile.quota),
            subscription=Subscription.from_view(profile.subscription) if profile.subscription else None,
        )
