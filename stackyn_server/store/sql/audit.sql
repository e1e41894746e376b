-- name: append
INSERT INTO audit (actor, action, subject, data) VALUES ($1, $2, $3, $4);

-- name: newest
SELECT * FROM audit ORDER BY id DESC LIMIT $1;
