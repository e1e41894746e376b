"""The composition root: every part that lives as long as the process, and how the parts are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from stackyn_server import telemetry
from stackyn_server.api.services import Health, Services
from stackyn_server.config import Settings
from stackyn_server.domain.jobs import KINDS, Kind, Pool, RetryPolicy
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.engine.ingress_container import IngressContainer
from stackyn_server.gateways.firebase import Firebase
from stackyn_server.gateways.firebase_admin import FirebaseAdmin
from stackyn_server.gateways.mail.provider import choose_carrier
from stackyn_server.ingress.drivers import create_ingress
from stackyn_server.jobs.dispatcher import Dispatcher
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.periodic import Periodic, PeriodicWork
from stackyn_server.jobs.run import Handler
from stackyn_server.jobs.supervisor import Supervisor
from stackyn_server.journal.journal import Journal
from stackyn_server.journal.runtime_followers import RuntimeFollowers
from stackyn_server.journal.runtime_log_keeper import RuntimeLogKeeper
from stackyn_server.journal.runtime_logs import RuntimeLogs
from stackyn_server.operations.billing_expiry import BillingExpiry
from stackyn_server.operations.mail_delivery import MailDelivery
from stackyn_server.operations.metrics import Metrics
from stackyn_server.operations.readiness import ReadinessCheck
from stackyn_server.pause import Pause
from stackyn_server.pipeline.build.build import Build
from stackyn_server.pipeline.build.make_image import MadeHere, MakeImage
from stackyn_server.pipeline.context import PipelineContext
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.idle.sleep import Sleep
from stackyn_server.pipeline.idle.wake import Wake
from stackyn_server.pipeline.repair import Repair
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations
from stackyn_server.pipeline.rollout.release import ReleaseHandler
from stackyn_server.pipeline.teardown.cleanup import Cleanup
from stackyn_server.pipeline.teardown.remove import Remove
from stackyn_server.pipeline.teardown.retire import Retire
from stackyn_server.pipeline.teardown.stop import Stop
from stackyn_server.reconcile.app_disks import AppDisks
from stackyn_server.reconcile.crashes import CrashCounter
from stackyn_server.reconcile.engine_connection import EngineConnection
from stackyn_server.reconcile.engine_events import EngineEvents
from stackyn_server.reconcile.garbage import GarbageCollector
from stackyn_server.reconcile.health import HealthChecks
from stackyn_server.reconcile.idle_apps import IdleApps
from stackyn_server.reconcile.ingress_keeper import IngressKeeper
from stackyn_server.reconcile.ingress_watch import IngressWatch
from stackyn_server.reconcile.reconcile_loop import ReconcileLoop
from stackyn_server.reconcile.reconciler import Reconciler
from stackyn_server.reconcile.sampler import Sampler
from stackyn_server.security.keys import Keys
from stackyn_server.security.passwords import Passwords
from stackyn_server.security.sealing import Sealer
from stackyn_server.security.tokens import Tokens
from stackyn_server.services.accounts import Accounts
from stackyn_server.services.administration import Administration
from stackyn_server.services.api_tokens import ApiTokens
from stackyn_server.services.apps import Apps
from stackyn_server.services.audit_log import AuditLog
from stackyn_server.services.billing import Billing
from stackyn_server.services.billing_simulation import BillingSimulation
from stackyn_server.services.codes import Codes
from stackyn_server.services.deploy_requests import Leader
from stackyn_server.services.deployments import Deployments
from stackyn_server.services.events import Events
from stackyn_server.services.firebase_accounts import FirebaseAccounts
from stackyn_server.services.identity import Identity
from stackyn_server.services.logs import Logs
from stackyn_server.services.mail import MailQueue
from stackyn_server.services.open_streams import OpenStreams
from stackyn_server.services.progress import ProgressReader
from stackyn_server.services.reauthentication import Reauthentication
from stackyn_server.services.registries import Registries
from stackyn_server.services.security_notices import SecurityNotices
from stackyn_server.services.sessions import Sessions
from stackyn_server.services.sign_up import SignUps
from stackyn_server.services.usage import UsageReader
from stackyn_server.services.variables import Variables
from stackyn_server.services.webhooks import BillingWebhooks
from stackyn_server.store import installation
from stackyn_server.store.database import Database

_LATE_PERIODS = 3


class Server:
    """Every part that lives as long as the process, and how the parts are connected."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        leadership: Leadership,
        keys: Keys,
        this_installation: installation.Installation,
        metrics_token: str,
    ) -> None:
        sealer = Sealer(keys.sealing)
        clones = settings.server.data_dir / "clones"
        engine = Engine(settings.engine, settings.network, str(this_installation.id))
        journal = Journal(database, settings.builds, pause=Pause.of(settings.jobs))
        log_keeper = RuntimeLogKeeper(database, engine, settings)
        self.registry = RegistryAvailability(settings)
        builder = Builder(engine, settings, self.registry)
        ingress = create_ingress(
            settings,
            database,
            IngressContainer(engine),
            secret=this_installation.secret,
            epoch=leadership.epoch,
            still_leading=leadership.still_leading,
        )
        self.connection = EngineConnection(engine, Pause.of(settings.jobs))
        connected = self.connection.connected
        self.ingress = IngressKeeper(settings, engine, connected, ingress)
        self.ingress_watch = IngressWatch(ingress, lambda: self.reconcile.request_comparison())
        is_reachable = self.ingress_watch.is_open
        reconciler = Reconciler(settings.reconcile, settings.network, database, engine, is_reachable)
        self.crashes = CrashCounter(settings, database, engine, log_keeper)
        self.reconcile = ReconcileLoop(settings.reconcile, connected, reconciler, self.crashes)
        self.events = EngineEvents(engine, connected, reconciler, self.crashes, self.reconcile)
        self.held_requests = HeldRequests()
        context = PipelineContext(
            settings=settings,
            database=database,
            engine=engine,
            ingress=ingress,
            ingress_ready=self.ingress.ready,
            held_requests=self.held_requests,
            reservations=MemoryReservations(),
            journal=journal,
            log_keeper=log_keeper,
            sealer=sealer,
        )
        engine_handlers: Mapping[Kind, Handler] = {
            Kind.BUILD: Build(context, builder, self.registry, clones, keys.derive("build variables")),
            Kind.IMAGE: MakeImage(database, MadeHere(settings, engine, builder, self.registry).make),
            Kind.RELEASE: ReleaseHandler(context),
            Kind.RETIRE: Retire(context),
            Kind.CLEANUP: Cleanup(context, clones),
            Kind.SLEEP: Sleep(context),
            Kind.WAKE: Wake(context),
            Kind.STOP: Stop(context),
            Kind.REMOVE: Remove(context),
            Kind.REPAIR: Repair(context),
        }
        garbage = GarbageCollector(settings, database, engine, builder, clones)
        mail = MailQueue(sealer)
        billing = Billing(settings, leadership, mail)
        expiry = BillingExpiry(database, billing)
        checks = self.health_checks = HealthChecks(settings, database)
        idle = IdleApps(settings, database, engine, ingress, checks)
        self.periodic = PeriodicWork(
            database,
            leadership,
            [
                _periodic("garbage", settings.reconcile.garbage_seconds, garbage.collect),
                _periodic("billing", settings.billing.check_seconds, expiry.settle_all),
                _periodic("idle", settings.reconcile.idle_seconds, idle.enqueue_jobs),
            ],
            watch_seconds=settings.reconcile.period_seconds,
            pause=Pause.of(settings.jobs),
        )
        handlers: Mapping[Kind, Handler] = {
            **{kind: self.connection.delayed(handler) for kind, handler in engine_handlers.items()},
            Kind.MAIL: MailDelivery(
                database, sealer, choose_carrier(settings.mail, shows_codes=settings.auth.development_codes)
            ),
            Kind.EXPIRY: expiry.expire,
            Kind.HOUSEKEEPING: self.periodic,
        }
        assert handlers.keys() == KINDS.keys(), "each kind of job has a handler"
        policy = RetryPolicy(**settings.retries.model_dump())
        self.settings = settings
        self.database = database
        self.leadership = leadership
        self.engine = engine
        self.journal = journal
        self.dispatcher = Dispatcher(database, leadership, handlers, _pools(settings), policy, settings.jobs)
        self.disks = AppDisks(settings.samples, database, engine, connected)
        self.sampler = Sampler(settings.samples, database, engine, connected, self.disks.used_bytes)
        health = ReadinessCheck(
            {
                "database": self._database_answers,
                "engine": self.connection.check,
                "ingress": self.ingress.check,
            },
            self.periodic.report,
        )
        self.metrics = Metrics(database, health, lambda: self.sampler.age_seconds, token=metrics_token)
        self.services = build_services(
            settings, database, leadership, keys, engine, journal, mail, billing, self.metrics, health
        )

    def start(self, supervisor: Supervisor) -> None:
        """Start the lasting tasks; they are stopped in the reverse order."""
        supervisor.start("leadership", self.leadership.keep)
        supervisor.start("journal", self.journal.run)
        supervisor.start("registry", self.registry.is_reachable)  # decided now, so that no build waits for it
        supervisor.start("engine", self.connection.connect)
        supervisor.start("engine.events", self.events.listen)
        supervisor.start("ingress", self.ingress.run)
        supervisor.start("ingress.watch", self.ingress_watch.run)
        supervisor.start("reconcile", self.reconcile.run)
        supervisor.start("health", self.health_checks.run)
        supervisor.start("crashes", self.crashes.run)
        supervisor.start("samples", self.sampler.run)
        supervisor.start("samples.slow", self.sampler.take_slow_ones)
        supervisor.start("disks", self.disks.run)
        supervisor.start("disks.slow", self.disks.take_slow_ones)
        supervisor.start("dispatcher", self.dispatcher.run)
        supervisor.start("periodic", self.periodic.watch)
        supervisor.start("streams", self.services.streams.watch)
        supervisor.start("watchdog", self._ping_watchdog)
        supervisor.start("loop", self.metrics.watch_loop)

    async def _ping_watchdog(self) -> None:
        """Ping systemd's watchdog while the event loop and the dispatcher run."""
        seconds = telemetry.watchdog_seconds()
        while seconds is not None:
            if self.dispatcher.status().is_running:
                telemetry.notify("WATCHDOG=1")
            await asyncio.sleep(seconds / 2)

    async def _database_answers(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute("SELECT 1")


def build_services(
    settings: Settings,
    database: Database,
    leader: Leader,
    keys: Keys,
    engine: Engine,
    journal: Journal,
    mail: MailQueue,
    billing: Billing,
    metrics: Metrics,
    health: Health,
    passwords: Passwords | None = None,
) -> Services:
    """Return all that handlers of requests may call."""
    passwords = passwords or Passwords()
    sealer = Sealer(keys.sealing)
    sessions = Sessions(database, settings, Tokens(keys.signing, keys.legacy_signing))
    codes = Codes(database, settings, mail, keys.derive("codes"))
    apps = Apps(database, settings, sealer, leader)
    deployments = Deployments(database, settings, leader)
    notices = SecurityNotices(mail)
    audit_log = AuditLog(database)
    reauthentication = Reauthentication(database, settings, passwords)
    api_tokens = ApiTokens(database, settings, reauthentication, notices)
    firebase_settings = settings.auth.firebase
    firebase = FirebaseAccounts(
        database, settings, Firebase(firebase_settings), FirebaseAdmin(firebase_settings), sessions, billing
    )
    return Services(
        accounts=Accounts(database, settings, passwords, sessions, reauthentication, notices),
        sign_up=SignUps(database, settings, passwords, sessions, codes, billing, notices),
        sessions=sessions,
        identity=Identity(sessions, api_tokens, firebase),
        firebase=firebase,
        billing_webhooks=BillingWebhooks(database, settings, billing),
        billing_simulation=BillingSimulation(database, settings, billing),
        progress=ProgressReader(database, settings),
        streams=OpenStreams(database, settings),
        api_tokens=api_tokens,
        administration=Administration(database, settings, leader, apps, deployments, billing, audit_log),
        audit_log=audit_log,
        apps=apps,
        deployments=deployments,
        variables=Variables(database, settings.apps, sealer),
        registries=Registries(database, settings, sealer),
        logs=Logs(
            database,
            settings,
            journal,
            RuntimeLogs(database, engine),
            RuntimeFollowers(database, engine, settings),
        ),
        events=Events(database),
        usage=UsageReader(database),
        metrics=metrics,
        health=health,
    )


def _periodic(name: str, every: float, work: Handler) -> Periodic:
    """Periodic work is late after two missed runs; a run is ended after one period."""
    return Periodic(name, every, late_after=_LATE_PERIODS * every, limit=every, work=work)


def _pools(settings: Settings) -> Mapping[Pool, int]:
    return {
        Pool.BUILDS: settings.builds.concurrency,
        Pool.IMAGES: 1,  # base images are made one at a time
        Pool.RELEASE: settings.jobs.release_pool,
        Pool.WAKE: settings.jobs.wake_pool,
        Pool.RETIRE: settings.jobs.retire_pool,
        Pool.MAIL: settings.jobs.mail_pool,
        Pool.HOUSEKEEPING: settings.jobs.housekeeping_pool,
    }
