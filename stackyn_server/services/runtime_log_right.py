"""Whether a plan includes runtime logs, and the sentence for those whose plan does not. Asked nowhere else."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.errors import Forbidden
from stackyn_server.services.account_views import billing_plan

NOT_INCLUDED = "Runtime logs are not part of your plan. Choose a larger plan to see them."


def includes_runtime_logs(settings: Settings, plan: str) -> bool:
    """Say whether the plan of an account includes them, as its row names that plan."""
    _, limits = billing_plan(settings, plan)
    return limits.logs


def require_runtime_logs(settings: Settings, plan: str) -> None:
    """Raises `Forbidden` with the sentence."""
    if not includes_runtime_logs(settings, plan):
        raise Forbidden(NOT_INCLUDED, code="PLAN_LACKS_FEATURE")
