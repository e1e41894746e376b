-- name: append
INSERT INTO audit (actor, action, subject, data) VALUES ($1, $2, $3, $4);
