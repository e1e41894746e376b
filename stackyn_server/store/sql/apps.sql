-- name: lock_tenant
-- Apps of one tenant are created one at a time, so that the quota holds.
SELECT id FROM account WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE;

-- name: reserved
SELECT count(*)::integer AS apps, coalesce(sum(memory_mb), 0)::integer AS memory_mb,
       coalesce(sum(disk_mb), 0)::integer AS disk_mb,
       coalesce(sum((settings ->> 'cpu')::numeric), 0)::double precision AS cpu
FROM app WHERE tenant = $1 AND desired <> 'deleted' AND ($2::bigint IS NULL OR id <> $2);

-- name: lock_seats
SELECT pg_advisory_xact_lock(hashtext('stackyn.seats'));

-- name: free_seat
SELECT seat FROM (
    SELECT 0 AS seat WHERE NOT EXISTS (SELECT FROM app WHERE seat = 0)
    UNION ALL
    SELECT taken.seat + 1 FROM app taken
    WHERE taken.seat IS NOT NULL AND NOT EXISTS (SELECT FROM app next WHERE next.seat = taken.seat + 1)
) AS free
ORDER BY seat LIMIT 1;

-- name: slug_is_free
-- For this tenant: its own deleted apps give theirs.
SELECT NOT EXISTS (
        SELECT FROM app
        WHERE slug = $1 AND torn_down_at IS NULL AND NOT slug_given AND NOT (desired = 'deleted' AND tenant = $3))
   AND NOT EXISTS (SELECT FROM domain WHERE host = $2);

-- name: give_slug
-- The tenant's deleted app that is still being taken down loses its slug, and its route with that.
WITH given AS (
    UPDATE app SET slug_given = true
    WHERE slug = $1 AND tenant = $2 AND desired = 'deleted' AND torn_down_at IS NULL AND NOT slug_given
    RETURNING id
)
UPDATE route SET state = 'withdrawn', instance = NULL, previous = NULL, updated_at = now()
FROM given WHERE route.app = given.id AND route.state <> 'withdrawn';

-- name: lock_givers
-- The lock keeps a removal from confirming that the route is gone before the transaction ends.
SELECT id FROM app WHERE slug = $1 AND slug_given AND route_gone_at IS NULL AND torn_down_at IS NULL FOR UPDATE;

-- name: set_route_gone
UPDATE app SET route_gone_at = coalesce(route_gone_at, now()) WHERE id = $1;

-- name: insert
INSERT INTO app (tenant, name, slug, repository, branch, settings, seat)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *;

-- name: get
SELECT * FROM app WHERE id = $1;

-- name: lock
-- Every change of what is wanted of an app takes this row first, so that two requests can't cross.
SELECT * FROM app WHERE id = $1 AND desired <> 'deleted' AND ($2::uuid IS NULL OR tenant = $2) FOR UPDATE;

-- name: of_tenant
SELECT * FROM app WHERE id = $1 AND desired <> 'deleted' AND ($2::uuid IS NULL OR tenant = $2);

-- name: set_desired
UPDATE app SET desired = $2, stop_reason = $3, stopped_by_billing = $4, updated_at = now() WHERE id = $1;

-- name: change
UPDATE app SET name = $2, branch = $3, settings = $4, updated_at = now() WHERE id = $1 RETURNING *;

-- name: remember_branch
-- Only of an app whose owner named none.
UPDATE app SET branch = $2, updated_at = now() WHERE id = $1 AND branch = 'HEAD' AND $2 <> 'HEAD';

-- name: remember_move
UPDATE app SET repository = $3, updated_at = now() WHERE id = $1 AND repository = $2;

-- name: set_current_release
UPDATE app SET current_release = $2, updated_at = now() WHERE id = $1;

-- name: empty
WITH cleared AS (UPDATE app SET current_release = NULL, torn_down_at = now(), updated_at = now() WHERE id = $1),
     unused AS (DELETE FROM variable WHERE app = $1),
     unknown AS (DELETE FROM registry_credential WHERE app = $1),
     logs AS (DELETE FROM log_chunk WHERE app = $1),
     samples AS (DELETE FROM sample WHERE app = $1)
DELETE FROM domain WHERE app = $1;

-- name: forget
-- The tombstone of a deleted app keeps its seat until no proxy can still hold a request for it.
DELETE FROM app WHERE id = ANY (ARRAY(
    SELECT id FROM app WHERE torn_down_at < now() - make_interval(secs => $1) LIMIT $2
));

-- name: view
-- The app's status is never stored: it is derived here from what is wanted, the route and the deployments. The page is
-- cut out first, so that only its apps are looked up in the other tables.
WITH page AS MATERIALIZED (
    SELECT * FROM app
    WHERE desired <> 'deleted' AND ($1::uuid IS NULL OR tenant = $1) AND ($2::bigint IS NULL OR id = $2)
    ORDER BY created_at DESC, id DESC
    LIMIT least($3, 1000) OFFSET $4
)
SELECT a.*,
       active.id AS active_id, active.phase AS active_phase, active.waiting_reason,
       release.live_at AS last_deployed_at,
       r.state AS route,
       i.container IS NOT NULL AS has_container, i.restart_count, i.down_since IS NOT NULL AS is_down, i.unhealthy_since IS NOT NULL AS is_unhealthy,
       s.memory_bytes, s.disk_bytes,
       account.email AS tenant_email,
       newest.phase AS newest_phase
FROM page a
JOIN account ON account.id = a.tenant
LEFT JOIN release ON release.id = a.current_release
LEFT JOIN route r ON r.app = a.id
LEFT JOIN instance i ON i.id = r.instance AND i.state <> 'gone'
LEFT JOIN LATERAL (
    SELECT d.id, d.phase FROM deployment d WHERE d.app = a.id ORDER BY d.created_at DESC, d.id DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT d.id, d.phase, d.waiting_reason FROM deployment d
    WHERE d.app = a.id
      AND d.phase IN ('queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching')
    ORDER BY d.created_at DESC, d.id DESC LIMIT 1
) AS opened ON true
LEFT JOIN LATERAL (
    SELECT d.id, d.phase FROM deployment d WHERE d.app = a.id AND d.phase = 'live'
) AS served ON true
LEFT JOIN LATERAL (
    SELECT d.id, d.phase, d.waiting_reason FROM deployment d
    WHERE d.id = coalesce(opened.id, served.id, newest.id)
) AS active ON true
LEFT JOIN LATERAL (
    SELECT instance, memory_bytes, disk_bytes FROM sample WHERE app = a.id ORDER BY taken_at DESC LIMIT 1
) AS s ON s.instance = i.id AND i.state = 'up' AND i.down_since IS NULL AND a.desired = 'running' AND r.state <> 'held'
ORDER BY a.created_at DESC, a.id DESC;

-- name: count
SELECT count(*)::integer FROM app WHERE desired <> 'deleted' AND ($1::uuid IS NULL OR tenant = $1);

-- name: tenant_plans
SELECT id AS tenant, plan FROM account
WHERE EXISTS (SELECT FROM app WHERE app.tenant = account.id AND app.desired <> 'deleted');

-- name: ids_of_tenant
SELECT id FROM app WHERE tenant = $1 AND desired <> 'deleted' ORDER BY id;

-- name: stopped_by_billing
SELECT id FROM app WHERE tenant = $1 AND stopped_by_billing AND desired = 'stopped' ORDER BY id;

-- name: has_other_work
SELECT EXISTS (SELECT FROM job WHERE app = $1 AND id <> $2 AND state IN ('waiting', 'running'));
