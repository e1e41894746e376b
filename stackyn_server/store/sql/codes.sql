-- name: insert
INSERT INTO one_time_code (email, purpose, code_hash, expires_at)
VALUES (lower($1), $2, $3, now() + make_interval(secs => $4))
RETURNING id;

-- name: lock_address
-- Requests for codes of one address run one at a time, so that the cool-down holds.
SELECT pg_advisory_xact_lock(hashtextextended($2 || ':' || lower($1), 0));

-- name: newest
SELECT id, code_hash, attempts, used_at IS NOT NULL AS is_used, expires_at <= now() AS has_expired,
       extract(epoch FROM now() - created_at)::double precision AS age_seconds
FROM one_time_code WHERE email = lower($1) AND purpose = $2
ORDER BY id DESC LIMIT 1 FOR UPDATE;

-- name: count_attempt
UPDATE one_time_code SET attempts = attempts + 1 WHERE id = $1;

-- name: use
UPDATE one_time_code SET used_at = now() WHERE id = $1;

-- name: forget
DELETE FROM one_time_code WHERE id = ANY (ARRAY(
    SELECT id FROM one_time_code WHERE expires_at < now() - make_interval(secs => $1) LIMIT $2
));
