-- name: list_of_app
SELECT * FROM variable WHERE app = $1 ORDER BY key;

-- name: put
INSERT INTO variable (app, key, sealed) VALUES ($1, $2, $3)
ON CONFLICT (app, key) DO UPDATE SET sealed = excluded.sealed, updated_at = now()
RETURNING *;

-- name: delete
DELETE FROM variable WHERE app = $1 AND key = $2;
