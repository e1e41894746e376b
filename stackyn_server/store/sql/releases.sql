-- name: insert
INSERT INTO release (app, deployment, image, sealed_environment, memory_mb, disk_mb, cpu, command, port, told_port,
                     protocol, health_path, health_timeout_seconds, commit)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
RETURNING *;

-- name: get
SELECT * FROM release WHERE id = $1;

-- name: set_port
UPDATE release SET port = $2, told_port = coalesce(told_port, port) WHERE id = $1 AND number IS NULL AND port <> $2;

-- name: of_number
SELECT * FROM release WHERE app = $1 AND number = $2;

-- name: number
UPDATE release SET
    number = (SELECT coalesce(max(number), 0) + 1 FROM release WHERE app = $2), live_at = now()
WHERE id = $1 AND number IS NULL
RETURNING *;

-- name: numbered_of_app
SELECT * FROM release WHERE app = $1 AND number IS NOT NULL ORDER BY number DESC LIMIT 200;

-- name: images_to_remove
-- Numbered releases beyond the newest $1 distinct images that rollback needs; never an image in use.
WITH ranked AS (
    SELECT r.app, r.image, dense_rank() OVER (PARTITION BY r.app ORDER BY max(r.number) DESC) AS age
    FROM release r
    WHERE r.number IS NOT NULL AND r.image_removed_at IS NULL AND ($2::bigint IS NULL OR r.app = $2)
    GROUP BY r.app, r.image
)
SELECT k.app, k.image FROM ranked k
WHERE k.age > $1
  AND NOT EXISTS (SELECT FROM instance i JOIN release r ON r.id = i.release
                  WHERE i.state <> 'gone' AND r.image = k.image)
  AND NOT EXISTS (SELECT FROM deployment d
                  WHERE d.image = k.image AND d.phase IN ('built', 'releasing', 'booting', 'probing', 'switching'));

-- name: images_offered
SELECT DISTINCT r.app, r.image FROM release r JOIN app a ON a.id = r.app AND a.desired <> 'deleted'
WHERE r.number IS NOT NULL AND r.image_removed_at IS NULL;

-- name: images_needed
SELECT r.image FROM release r WHERE r.number IS NOT NULL AND r.image_removed_at IS NULL
UNION SELECT r.image FROM release r JOIN instance i ON i.release = r.id AND i.state <> 'gone'
UNION SELECT d.image FROM deployment d WHERE d.image IS NOT NULL
    AND d.phase IN ('queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching');

-- name: image_removed
UPDATE release SET image_removed_at = now() WHERE app = $1 AND image = $2 AND image_removed_at IS NULL;

-- name: image_in_use
SELECT EXISTS (SELECT FROM release WHERE image = $1 AND number IS NOT NULL AND image_removed_at IS NULL)
    OR EXISTS (SELECT FROM deployment WHERE image = $1 AND id <> $2
               AND phase IN ('built', 'releasing', 'booting', 'probing', 'switching', 'live'));

-- name: of_deployment
SELECT * FROM release WHERE deployment = $1;
