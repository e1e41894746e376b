-- name: recent
SELECT coalesce(sum((data ->> 'counted')::integer), 0) FROM event
WHERE app = $1 AND name = ANY($4::text[]) AND data ->> 'instance' = $2
  AND created_at > now() - make_interval(secs => $3::double precision);
