-- name: insert
INSERT INTO api_token (account, name, token_hash, expires_at, scopes, app)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING *;

-- name: count
SELECT count(*) FROM api_token WHERE account = $1;

-- name: of_account
SELECT * FROM api_token WHERE account = $1 ORDER BY created_at DESC, id DESC LIMIT 1000;

-- name: delete
DELETE FROM api_token WHERE account = $1 AND id = $2 RETURNING id;

-- name: identify
SELECT account.*, api_token.id AS token, api_token.scopes, api_token.app
FROM api_token JOIN account ON account.id = api_token.account
WHERE api_token.token_hash = $1 AND (api_token.expires_at IS NULL OR api_token.expires_at > now())
  AND account.deleted_at IS NULL;

-- name: touch
UPDATE api_token SET last_used_at = now()
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2));

-- name: delete_all
DELETE FROM api_token WHERE account = $1;

-- name: forget
DELETE FROM api_token WHERE id = ANY (ARRAY(
    SELECT id FROM api_token WHERE expires_at < now() - make_interval(secs => $1) LIMIT $2
));
