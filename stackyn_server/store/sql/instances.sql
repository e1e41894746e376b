-- name: insert
INSERT INTO instance (app, release, deployment, slot)
SELECT $1, $2, $3, free.slot FROM generate_series(0, 1) AS free (slot)
WHERE NOT EXISTS (SELECT FROM instance i WHERE i.app = $1 AND i.slot = free.slot AND i.state <> 'gone')
ORDER BY free.slot LIMIT 1
RETURNING *;

-- name: insert_into
INSERT INTO instance (app, release, deployment, slot) VALUES ($1, $2, $3, $4)
RETURNING *;

-- name: move
UPDATE instance SET slot = $2, container = NULL WHERE id = $1 AND slot <> $2;

-- name: get
SELECT * FROM instance WHERE id = $1;

-- name: present_of_app
SELECT * FROM instance WHERE app = $1 AND state <> 'gone' ORDER BY id;

-- name: of_deployment
SELECT * FROM instance WHERE deployment = $1 AND state <> 'gone' ORDER BY id DESC LIMIT 1;

-- name: of_route
SELECT i.* FROM route r JOIN instance i ON i.id = r.instance WHERE r.app = $1 AND i.state <> 'gone';

-- name: set_container
UPDATE instance SET container = $2 WHERE id = $1;

-- name: set_up
UPDATE instance SET state = 'up', up_at = now() WHERE id = $1 AND state = 'starting';

-- name: set_draining
UPDATE instance SET state = 'draining' WHERE id = $1 AND state IN ('starting', 'up');

-- name: set_gone
UPDATE instance SET state = 'gone', gone_at = now() WHERE id = $1 AND state <> 'gone';

-- name: keep_state
UPDATE instance SET last_state = coalesce($2, last_state) WHERE id = $1 AND state <> 'gone';

-- name: output_of
SELECT i.id AS instance, i.app, coalesce(i.deployment, l.deployment) AS deployment, i.container, i.logged_until
FROM instance i JOIN release l ON l.id = i.release
WHERE i.id = $1
FOR UPDATE OF i;

-- name: outputs_of_app
SELECT i.id AS instance, i.app, coalesce(i.deployment, l.deployment) AS deployment, i.container, i.logged_until
FROM instance i JOIN release l ON l.id = i.release
WHERE i.app = $1 AND i.state <> 'gone' AND i.container IS NOT NULL
  AND CASE WHEN $2::bigint IS NULL THEN i.up_at IS NOT NULL ELSE coalesce(i.deployment, l.deployment) = $2 END
ORDER BY i.id;

-- name: set_logged
UPDATE instance SET logged_until = $2 WHERE id = $1;

-- name: newest_of_deployment
-- What was woken or repaired belongs to no deployment of its own: it runs for the one that is live.
SELECT i.* FROM deployment d
JOIN instance i ON i.app = d.app
WHERE d.id = $1
  AND (i.deployment = d.id OR d.phase = 'live' AND i.deployment IS NULL AND i.container IS NOT NULL)
ORDER BY i.id DESC LIMIT 1;

-- name: add_restarts
UPDATE instance SET restart_count = restart_count + $2 WHERE id = $1;

-- name: count_to
-- What the engine has counted is taken over once, whoever sees it first.
UPDATE instance SET engine_restarts = $3 WHERE id = $1 AND engine_restarts = $2 RETURNING id;

-- name: set_down
UPDATE instance SET down_since = now() WHERE id = ANY($1::bigint[]) AND state = 'up' AND down_since IS NULL;

-- name: set_back
UPDATE instance SET down_since = NULL WHERE id = ANY($1::bigint[]) AND down_since IS NOT NULL;

-- name: set_unhealthy
UPDATE instance SET unhealthy_since = now() WHERE id = $1 AND unhealthy_since IS NULL;

-- name: set_healthy
UPDATE instance SET unhealthy_since = NULL WHERE id = $1 AND unhealthy_since IS NOT NULL RETURNING id;

-- name: serving_now
SELECT i.app, a.tenant, i.id AS instance, i.container, l.disk_mb, s.disk_bytes FROM route r
JOIN app a ON a.id = r.app AND a.desired = 'running'
JOIN instance i ON i.id = r.instance AND i.state = 'up' AND i.container IS NOT NULL
JOIN release l ON l.id = i.release
LEFT JOIN LATERAL (
    SELECT instance, disk_bytes FROM sample WHERE app = a.id ORDER BY taken_at DESC LIMIT 1
) AS s ON s.instance = i.id
WHERE r.state = 'serving'
ORDER BY i.id;

-- name: to_check
SELECT i.app, a.tenant, i.id AS instance, a.seat, i.slot, l.port, l.health_path, l.protocol, a.slug,
       i.unhealthy_since IS NOT NULL AS is_unhealthy
FROM route r
JOIN app a ON a.id = r.app AND a.desired = 'running' AND a.seat IS NOT NULL
JOIN account ON account.id = a.tenant AND ($1::text[] IS NULL OR account.plan = ANY($1::text[]))
JOIN instance i ON i.id = r.instance AND i.state = 'up' AND i.down_since IS NULL
JOIN release l ON l.id = i.release
WHERE r.state = 'serving'
  AND ($2 OR NOT EXISTS (
      SELECT FROM job j WHERE j.app = a.id AND j.lock = 'app:' || a.id AND j.state IN ('waiting', 'running')))
ORDER BY i.id;

-- name: wanted_up
-- Instances that should be up; of busy apps, a job will see to it.
SELECT i.app, i.id, i.down_since IS NOT NULL AS is_down, EXISTS (
    SELECT FROM job j WHERE j.app = a.id AND j.lock = 'app:' || a.id AND j.state IN ('waiting', 'running')) AS is_busy
FROM route r
JOIN app a ON a.id = r.app AND a.desired = 'running'
JOIN instance i ON i.id = r.instance AND i.state = 'up'
WHERE r.state = 'serving';

-- name: routed
-- Where the routes of running apps lead, for those that no job is about: may they sleep, must they wake?
SELECT i.app, a.tenant, account.plan, i.id AS instance, l.port, r.state = 'held' AS is_held
FROM route r
JOIN app a ON a.id = r.app AND a.desired = 'running'
JOIN account ON account.id = a.tenant
JOIN instance i ON i.id = r.instance
JOIN release l ON l.id = i.release
WHERE (r.state = 'held' OR r.state = 'serving' AND i.state = 'up')
  AND NOT EXISTS (SELECT FROM job j WHERE j.app = a.id AND j.lock = 'app:' || a.id AND j.state IN ('waiting', 'running'))
ORDER BY i.app;

-- name: purge
-- What woke up and slept again leaves a row each time; those of deployments stay as long as these.
DELETE FROM instance WHERE id = ANY (ARRAY(
    SELECT id FROM instance
    WHERE deployment IS NULL AND state = 'gone' AND gone_at < now() - make_interval(days => $1) LIMIT $2
));

-- name: holding_slots
SELECT id FROM instance WHERE state <> 'gone';
