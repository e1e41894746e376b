"""What the payment provider is answered, and the development endpoint: contract section 4."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from stackyn_server.api.wire.base import RequestBody, ResponseBody, Text
from stackyn_server.services.account_views import AccountView


class Taken(ResponseBody):
    status: Literal["ok"] = "ok"


class BillingStatus(StrEnum):
    TRIAL = "trial"
    ACTIVE = "active"
    EXPIRED = "expired"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is beyond the calendar") from error


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class TestBilling(RequestBody):
    """An absent key leaves a value as it is. `plan`: "free_trial", or a billing plan's name."""

    __test__ = False  # no test, whatever pytest makes of the name

    billing_status: Annotated[BillingStatus | None, Field(strict=False)] = None
    plan: Text | None = None
    trial_ends_at: Moment | None = None


class BillingSet(ResponseBody):
    message: str
    user_id: str
    billing_status: str
    plan: str
    trial_ends_at: datetime | None
    warning: str

    @classmethod
    def of(cls, account: AccountView) -> BillingSet:
        return cls(
            message="The billing status is set.",
            user_id=str(account.id),
            billing_status=account.billing_status,
            plan=account.plan,
            trial_ends_at=account.trial_ends_at,
            warning="This endpoint is for development; no payment stands behind it.",
        )
