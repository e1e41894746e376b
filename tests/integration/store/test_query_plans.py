"""What cleanup asks of tables with 100,000 rows reads none of them whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackyn_server.store import (
    apps,
    audit,
    codes,
    deployments,
    disk_use,
    events,
    instances,
    jobs,
    logs,
    releases,
    samples,
    sessions,
    subscriptions,
    tokens,
)
from stackyn_server.store.database import Connection, Database
from tests.rows import an_account, an_app

ROWS = 100_000

# One row in a hundred is young, or of an app's newest release; the others are what cleanup has left, or has to take.
# Keys, foreign ones and triggers are not looked at while the tables are filled.
FILL = {
    "app": """
        INSERT INTO app (tenant, name, slug, repository, branch, settings, desired, torn_down_at)
        SELECT '{tenant}', 'App ' || n, 'filled-' || n, 'https://git.example.test/a.git', 'main', settings,
               CASE WHEN n % 100 = 0 THEN 'running' ELSE 'deleted' END,
               CASE WHEN n % 100 = 0 THEN NULL ELSE now() - n * interval '1 second' END
        FROM app AS model, generate_series(1, {rows}) AS n WHERE model.id = {app}""",
    "deployment": """
        INSERT INTO deployment (app, tenant, cause, phase, branch, image)
        SELECT n % 1000, '{tenant}', 'redeploy', CASE WHEN n % 1000 = 0 THEN 'building' ELSE 'replaced' END, 'main',
               'sha256:' || n
        FROM generate_series(1, {rows}) AS n""",
    "release": """
        INSERT INTO release (app, number, deployment, image, sealed_environment, memory_mb, disk_mb, cpu, port,
                             image_removed_at)
        SELECT n % 1000, n, n, 'sha256:' || n, '', 256, 1024, 0.5, 8080, CASE WHEN n % 100 = 0 THEN NULL ELSE now() END
        FROM generate_series(1, {rows}) AS n""",
    "instance": """
        INSERT INTO instance (app, release, slot, state, gone_at)
        SELECT n, n, 0, CASE WHEN n % 1000 = 0 THEN 'up' ELSE 'gone' END,
               CASE WHEN n % 1000 = 0 THEN NULL ELSE now() - n * interval '10 seconds' END
        FROM generate_series(1, {rows}) AS n""",
    "job": """
        INSERT INTO job (kind, subject, pool, state, ended_at)
        SELECT 'mail', n::text, 'mail', 'done', now() - n * interval '10 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "event": """
        INSERT INTO event (name, app, created_at) SELECT 'app.changed', {app}, now() - n * interval '100 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "audit": """
        INSERT INTO audit (action, subject, created_at) SELECT 'app.stop', '1', now() - n * interval '400 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "billing_event": """
        INSERT INTO billing_event (digest, name, outcome, received_at)
        SELECT decode(md5(n::text), 'hex'), 'subscription_updated', 'applied', now() - n * interval '400 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "subscription": """
        INSERT INTO subscription (provider_id, email, variant, status, is_served, as_of, updated_at)
        SELECT n::text, 'a@example.test', '1', 'active', true, now(), now() - n * interval '400 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "session": """
        INSERT INTO session (account, expires_at) SELECT '{tenant}', now() - n * interval '10 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "one_time_code": """
        INSERT INTO one_time_code (email, purpose, code_hash, expires_at)
        SELECT n || '@example.test', 'sign_in', '', now() - n * interval '10 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "api_token": """
        INSERT INTO api_token (account, name, token_hash, scopes, expires_at)
        SELECT '{tenant}', 'a token', decode(md5(n::text), 'hex'), ARRAY['read'], now() - n * interval '10 seconds'
        FROM generate_series(1, {rows}) AS n""",
    "sample": """
        INSERT INTO sample (app, taken_at, coarse, memory_bytes, disk_bytes)
        SELECT {app}, now() - n * interval '30 seconds', n % 2 = 0, 1, 1
        FROM generate_series(1, {rows}) AS n""",
    "log_chunk": """
        INSERT INTO log_chunk (app, kind, content) SELECT n % 1000, 'build', 'a line'
        FROM generate_series(1, {rows}) AS n""",
}

# Statement → its arguments.
ASKED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "apps.forget": (apps.SQL.forget, (90_000.0, 1000)),
    "deployments.unfinished": (deployments.SQL.unfinished, ()),
    "deployments.needing_clone": (deployments.SQL.needing_clone, ([1, 2, 3],)),
    "releases.images_to_remove": (releases.SQL.images_to_remove, (5, None)),
    "releases.images_to_remove of one app": (releases.SQL.images_to_remove, (5, 7)),
    "releases.images_offered": (releases.SQL.images_offered, ()),
    "releases.images_needed": (releases.SQL.images_needed, ()),
    "releases.image_in_use": (releases.SQL.image_in_use, ("sha256:5", 7)),
    "releases.image_removed": (releases.SQL.image_removed, (7, "sha256:7")),
    "instances.purge": (instances.SQL.purge, (7, 1000)),
    "instances.holding_slots": (instances.SQL.holding_slots, ()),
    "jobs.purge": (jobs.SQL.purge, (7, 1000)),
    "events.purge": (events.SQL.purge, (90, 1000)),
    "audit.purge": (audit.SQL.purge, (365, 1000)),
    "subscriptions.purge_events": (subscriptions.SQL.purge_events, (365, 1000)),
    "subscriptions.purge_unclaimed": (subscriptions.SQL.purge_unclaimed, (365, 1000)),
    "sessions.forget": (sessions.SQL.forget, (604_800.0, 1000)),
    "codes.forget": (codes.SQL.forget, (604_800.0, 1000)),
    "tokens.forget": (tokens.SQL.forget, (604_800.0, 1000)),
    "samples.purge": (samples.SQL.purge, (30, 1000)),
    "samples.condense": (samples.SQL.condense, (86_400.0, 300.0, 1000)),
    "logs.sizes": (logs.SQL.sizes, (99_900,)),
    "disk_use.measure": (disk_use.SQL.measure, ([], [])),
    "logs.newest_id": (logs.SQL.newest_id, ()),
    "logs.trim": (logs.SQL.trim, (7, "build", 10_485_760)),
}


async def fill(connection: Connection) -> None:
    tenant = await an_account(connection)
    model = await an_app(connection, tenant)
    await connection.execute("SET LOCAL session_replication_role = replica")
    for statement in FILL.values():
        filled = statement.format(tenant=tenant, app=model.id, rows=ROWS)
        await connection.execute(filled, timeout=60)


def whole_reads(plan: dict[str, Any]) -> list[str]:
    """The tables that a plan reads whole."""
    found = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return found + [name for child in plan.get("Plans", []) for name in whole_reads(child)]


@pytest.mark.full
async def test_cleanup_reads_no_large_table_whole(database: Database) -> None:
    async with database.transaction() as connection:
        await fill(connection)
    async with database.connection() as connection:
        await connection.execute("ANALYZE")
        found = {}
        for name, (statement, arguments) in ASKED.items():
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
            [plan] = json.loads(text) if isinstance(text, str) else text
            if tables := set(whole_reads(plan["Plan"])) & FILL.keys():
                found[name] = tables
    assert found == {}, "a table is read whole"
