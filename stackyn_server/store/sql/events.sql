-- name: append
INSERT INTO event (name, tenant, app, deployment, data) VALUES ($1, $2, $3, $4, $5);

-- name: list_of_app
SELECT * FROM event WHERE app = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3;

-- name: count_crashes
SELECT coalesce(sum((data ->> 'counted')::integer), 0) FROM event
WHERE app = $1 AND name = ANY($4::text[]) AND data ->> 'instance' = $2
  AND created_at > now() - make_interval(secs => $3::double precision);

-- name: purge
DELETE FROM event WHERE id = ANY (ARRAY(
    SELECT id FROM event WHERE created_at < now() - make_interval(days => $1) ORDER BY created_at LIMIT $2
));
