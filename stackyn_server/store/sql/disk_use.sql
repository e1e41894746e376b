-- What accounts occupy of the disk.

-- name: forget
DELETE FROM disk_use;

-- name: measure
-- An image is counted once for its app, by whichever deployment built it.
WITH image AS (
    SELECT r.app, r.image FROM release r WHERE r.number IS NOT NULL AND r.image_removed_at IS NULL
    UNION
    SELECT r.app, r.image FROM instance i JOIN release r ON r.id = i.release WHERE i.state <> 'gone'
), images AS (
    SELECT a.tenant, sum(built.bytes)::bigint AS bytes
    FROM image
    JOIN app a ON a.id = image.app AND a.torn_down_at IS NULL
    CROSS JOIN LATERAL (SELECT max(d.image_bytes) AS bytes FROM deployment d WHERE d.image = image.image) AS built
    GROUP BY a.tenant
), logs AS (
    SELECT a.tenant, sum(s.bytes)::bigint AS bytes
    FROM log_size s JOIN app a ON a.id = s.app AND a.torn_down_at IS NULL
    GROUP BY a.tenant
), written AS (
    SELECT a.tenant, sum(s.disk_bytes)::bigint AS bytes
    FROM route r
    JOIN app a ON a.id = r.app AND a.desired = 'running'
    JOIN instance i ON i.id = r.instance AND i.state = 'up'
    JOIN LATERAL (
        SELECT instance, disk_bytes FROM sample WHERE app = a.id ORDER BY taken_at DESC LIMIT 1
    ) AS s ON s.instance = i.id
    GROUP BY a.tenant
), caches AS (
    SELECT tenant, bytes FROM unnest($1::uuid[], $2::bigint[]) AS c (tenant, bytes)
)
INSERT INTO disk_use (account, apps_bytes, images_bytes, caches_bytes, logs_bytes)
SELECT account.id, coalesce(written.bytes, 0), coalesce(images.bytes, 0), coalesce(caches.bytes, 0),
       coalesce(logs.bytes, 0)
FROM account
LEFT JOIN images ON images.tenant = account.id
LEFT JOIN logs ON logs.tenant = account.id
LEFT JOIN written ON written.tenant = account.id
LEFT JOIN caches ON caches.tenant = account.id
WHERE coalesce(images.tenant, logs.tenant, written.tenant, caches.tenant) IS NOT NULL
RETURNING *;

-- name: of_account
SELECT apps_bytes, images_bytes, caches_bytes, logs_bytes FROM disk_use WHERE account = $1;

-- name: remember_logs
-- Those of an app that is gone meanwhile are left out.
INSERT INTO log_size (app, kind, bytes)
SELECT s.app, s.kind, s.bytes FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS s (app, kind, bytes)
WHERE EXISTS (SELECT FROM app WHERE app.id = s.app FOR KEY SHARE)
ON CONFLICT (app, kind) DO UPDATE SET bytes = excluded.bytes;
