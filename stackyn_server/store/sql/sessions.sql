-- name: open
INSERT INTO session (account, expires_at, token_hash, network, proved_at)
VALUES ($1, now() + make_interval(secs => $2), $3, $4,
        CASE WHEN $5::timestamptz IS NOT NULL THEN least($5, now()) END)
RETURNING id;

-- name: identify
SELECT account.*, session.id AS session
FROM session JOIN account ON account.id = session.account
WHERE session.id = $1 AND session.account = $2 AND session.ended_at IS NULL AND session.expires_at > now()
  AND account.deleted_at IS NULL;

-- name: identify_foreign
SELECT account.*, session.id AS session,
       session.ended_at IS NULL AND session.expires_at > now() AND account.deleted_at IS NULL AS is_open
FROM session JOIN account ON account.id = session.account
WHERE session.token_hash = $1;

-- name: is_fresh
SELECT coalesce(proved_at > now() - make_interval(secs => $2), false) FROM session WHERE id = $1 AND ended_at IS NULL;

-- name: end
UPDATE session SET ended_at = now() WHERE id = $1 AND ended_at IS NULL;

-- name: end_all
UPDATE session SET ended_at = now()
WHERE account = $1 AND ended_at IS NULL AND ($2::uuid IS NULL OR id <> $2);

-- name: forget
-- Rows of foreign tokens stay a while longer: an unknown token is judged by its own claims.
DELETE FROM session WHERE id = ANY (ARRAY(
    SELECT id FROM session WHERE coalesce(ended_at, expires_at) < now() - make_interval(secs => $1) LIMIT $2
));
