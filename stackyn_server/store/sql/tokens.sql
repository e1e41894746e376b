-- name: insert
INSERT INTO api_token (account, name, token_hash, expires_at) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: of_account
SELECT * FROM api_token WHERE account = $1 ORDER BY created_at DESC, id DESC;

-- name: delete
DELETE FROM api_token WHERE account = $1 AND id = $2 RETURNING id;

-- name: identify
SELECT account.*, api_token.id AS token, api_token.last_used_at
FROM api_token JOIN account ON account.id = api_token.account
WHERE api_token.token_hash = $1 AND (api_token.expires_at IS NULL OR api_token.expires_at > now())
  AND account.deleted_at IS NULL;

-- name: touch
UPDATE api_token SET last_used_at = now()
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2));

-- name: delete_all
DELETE FROM api_token WHERE account = $1;
