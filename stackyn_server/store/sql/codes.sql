-- name: insert
INSERT INTO one_time_code (email, purpose, code_hash, expires_at, network)
VALUES (lower($1), $2, $3, now() + make_interval(secs => $4), $5)
RETURNING id;

-- name: lock_address
-- Requests for codes of one address run one at a time, so that the cool-down holds.
SELECT pg_advisory_xact_lock(hashtextextended($2 || ':' || lower($1), 0));

-- name: newest
SELECT id, code_hash, network, used_at IS NOT NULL AS is_used, expires_at <= now() AS has_expired,
       extract(epoch FROM now() - created_at)::double precision AS age_seconds
FROM one_time_code WHERE email = lower($1) AND purpose = $2
ORDER BY id DESC LIMIT 1 FOR UPDATE;

-- name: attempts
WITH today AS (
    SELECT id FROM one_time_code
    WHERE email = lower($1) AND purpose = $2 AND created_at > now() - interval '1 day'
)
SELECT (SELECT count(*) FROM today)::integer AS codes,
       coalesce(sum(attempts) FILTER (WHERE code = $3 AND network = $4), 0)::integer AS of_network,
       coalesce(sum(attempts) FILTER (WHERE is_strange), 0)::integer AS of_strangers,
       EXISTS (SELECT FROM session JOIN account ON account.id = session.account
               WHERE lower(account.email) = lower($1) AND account.deleted_at IS NULL AND session.network = $4
              ) AS was_signed_in
FROM code_attempt WHERE code IN (SELECT id FROM today);

-- name: count_attempt
INSERT INTO code_attempt (code, network, is_strange) VALUES ($1, $2, $3)
ON CONFLICT (code, network) DO UPDATE SET attempts = code_attempt.attempts + 1;

-- name: use
UPDATE one_time_code SET used_at = now() WHERE id = $1;

-- name: forget
DELETE FROM one_time_code WHERE id = ANY (ARRAY(
    SELECT id FROM one_time_code WHERE expires_at < now() - make_interval(secs => $1) LIMIT $2
));
