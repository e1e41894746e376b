-- name: append
INSERT INTO audit (actor, action, subject, data) VALUES ($1, $2, $3, $4);

-- name: purge
DELETE FROM audit WHERE id = ANY (ARRAY(
    SELECT id FROM audit WHERE created_at < now() - make_interval(days => $1) ORDER BY created_at LIMIT $2
));
