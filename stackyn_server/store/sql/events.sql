-- name: append
INSERT INTO event (name, tenant, app, deployment, data) VALUES ($1, $2, $3, $4, $5);

-- name: list_of_app
SELECT * FROM event WHERE app = $1 AND ($2::bigint IS NULL OR id < $2) ORDER BY id DESC LIMIT $3;
