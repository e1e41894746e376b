-- name: snapshot
SELECT r.app, a.slug, r.state, r.instance, a.seat, i.slot, l.port, l.protocol,
       coalesce((SELECT array_agg(d.host ORDER BY d.host) FROM domain d WHERE d.app = r.app AND d.state = 'active'),
                '{}') AS hosts
FROM route r
JOIN app a ON a.id = r.app
JOIN instance i ON i.id = r.instance
JOIN release l ON l.id = i.release
WHERE r.state <> 'withdrawn' AND a.seat IS NOT NULL
ORDER BY r.app;

-- name: get
SELECT app, instance, previous, state FROM route WHERE app = $1;

-- name: want
INSERT INTO route (app, instance, state) VALUES ($1, $2, 'switching')
ON CONFLICT (app) DO UPDATE SET
    previous = CASE
        WHEN route.state = 'withdrawn' THEN NULL
        WHEN route.instance = excluded.instance THEN route.previous
        ELSE route.instance END,
    instance = excluded.instance, state = 'switching', updated_at = now();

-- name: serve
UPDATE route SET state = 'serving', previous = NULL, updated_at = now() WHERE app = $1 AND instance = $2;

-- name: revert
UPDATE route SET
    state = CASE WHEN previous IS NULL THEN 'withdrawn' ELSE 'serving' END,
    instance = previous, previous = NULL, updated_at = now()
WHERE app = $1 AND instance = $2 AND state = 'switching'
RETURNING instance;

-- name: hold
-- Requests wait at the proxy, for whatever comes up in the slot of $2.
UPDATE route SET
    previous = CASE WHEN instance = $2 THEN previous ELSE instance END,
    instance = $2, state = 'held', updated_at = now()
WHERE app = $1 AND state <> 'withdrawn';

-- name: restore_previous
UPDATE route SET instance = previous, previous = NULL, state = 'serving', updated_at = now()
WHERE app = $1 AND state = 'held' AND previous IS NOT NULL;

-- name: forget_previous
UPDATE route SET previous = NULL, updated_at = now() WHERE app = $1 AND state = 'held';

-- name: hold_situation
SELECT a.tenant, a.desired = 'running' AS is_wanted, r.state,
       coalesce(d.phase IN ('queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching'),
                false) AS is_candidate
FROM app a
LEFT JOIN route r ON r.app = a.id
LEFT JOIN instance i ON i.id = r.instance
LEFT JOIN deployment d ON d.id = i.deployment
WHERE a.id = $1;

-- name: withdraw
UPDATE route SET state = 'withdrawn', instance = NULL, previous = NULL, updated_at = now()
WHERE app = $1 AND state <> 'withdrawn';

-- name: custom_hosts
SELECT host FROM domain WHERE app = $1 AND state = 'active' ORDER BY host;
