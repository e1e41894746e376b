-- name: list_of_app
-- No app has more: the configuration refuses a higher limit.
SELECT * FROM variable WHERE app = $1 ORDER BY key LIMIT 10000;

-- name: amounts
WITH stored AS (SELECT key, octet_length(key) + octet_length(sealed) AS bytes FROM variable WHERE app = $1)
SELECT count(*)::integer AS count, coalesce(sum(bytes), 0)::integer AS bytes,
       count(*) FILTER (WHERE key <> $2)::integer AS other_count,
       coalesce(sum(bytes) FILTER (WHERE key <> $2), 0)::integer AS other_bytes
FROM stored;

-- name: put
INSERT INTO variable (app, key, sealed) VALUES ($1, $2, $3)
ON CONFLICT (app, key) DO UPDATE SET sealed = excluded.sealed, updated_at = now()
RETURNING *;

-- name: delete
DELETE FROM variable WHERE app = $1 AND key = $2;
