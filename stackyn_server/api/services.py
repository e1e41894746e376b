"""All services that handlers may call, in one value that `wiring.py` builds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stackyn_server.operations.metrics import Metrics
from stackyn_server.operations.readiness import Readiness
from stackyn_server.services.accounts import Accounts
from stackyn_server.services.administration import Administration
from stackyn_server.services.api_tokens import ApiTokens
from stackyn_server.services.apps import Apps
from stackyn_server.services.audit_log import AuditLog
from stackyn_server.services.billing_simulation import BillingSimulation
from stackyn_server.services.deployments import Deployments
from stackyn_server.services.events import Events
from stackyn_server.services.firebase_accounts import FirebaseAccounts
from stackyn_server.services.identity import Identity
from stackyn_server.services.logs import Logs
from stackyn_server.services.open_streams import OpenStreams
from stackyn_server.services.progress import ProgressReader
from stackyn_server.services.registries import Registries
from stackyn_server.services.sessions import Sessions
from stackyn_server.services.sign_up import SignUps
from stackyn_server.services.usage import UsageReader
from stackyn_server.services.variables import Variables
from stackyn_server.services.webhooks import BillingWebhooks

Health = Callable[[], Awaitable[Readiness]]


@dataclass(frozen=True, slots=True)
class Services:
    accounts: Accounts
    sign_up: SignUps
    sessions: Sessions
    apps: Apps
    deployments: Deployments
    variables: Variables
    registries: Registries
    logs: Logs
    events: Events
    identity: Identity
    api_tokens: ApiTokens
    administration: Administration
    audit_log: AuditLog
    firebase: FirebaseAccounts
    billing_webhooks: BillingWebhooks
    billing_simulation: BillingSimulation
    progress: ProgressReader
    streams: OpenStreams
    usage: UsageReader
    metrics: Metrics
    health: Health
