-- name: of_account
-- Those of an app that is being deleted are as good as gone.
SELECT credential.* FROM registry_credential AS credential LEFT JOIN app ON app.id = credential.app
WHERE credential.account = $1 AND (credential.app IS NULL OR app.desired <> 'deleted')
ORDER BY credential.created_at DESC, credential.id DESC LIMIT 1000;

-- name: credentials_for
SELECT DISTINCT ON (host) * FROM registry_credential
WHERE account = $1 AND (app IS NULL OR app = $2)
ORDER BY host, app NULLS LAST;

-- name: others
SELECT count(*) FROM registry_credential
WHERE account = $1 AND (coalesce(app, 0), host) IS DISTINCT FROM (coalesce($2::bigint, 0), $3);

-- name: put
INSERT INTO registry_credential (account, app, host, username, sealed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account, (coalesce(app, 0)), host)
    DO UPDATE SET username = excluded.username, sealed = excluded.sealed, updated_at = now()
RETURNING *;

-- name: delete
DELETE FROM registry_credential WHERE account = $1 AND id = $2 RETURNING id;

-- name: delete_all
DELETE FROM registry_credential WHERE account = $1;
