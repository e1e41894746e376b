-- name: append
INSERT INTO audit (actor, action, subject, data) VALUES ($1, $2, $3, $4);

-- name: append_refusal
-- One in an hour is enough to know: whoever is refused may go on asking.
INSERT INTO audit (actor, action, subject, data, outcome)
SELECT $1, $2, $3, $4, 'refused'
WHERE NOT EXISTS (
    SELECT FROM audit WHERE actor = $1 AND action = $2 AND subject = $3 AND outcome = 'refused'
                        AND created_at > now() - interval '1 hour'
);

-- name: page
SELECT audit.*, account.email AS actor_email
FROM audit LEFT JOIN account ON account.id = audit.actor
WHERE ($1::uuid IS NULL OR actor = $1 OR subject = $1::text) AND ($2::text IS NULL OR action = $2)
ORDER BY audit.id DESC LIMIT $3 OFFSET $4;

-- name: count
SELECT count(*)::integer FROM audit
WHERE ($1::uuid IS NULL OR actor = $1 OR subject = $1::text) AND ($2::text IS NULL OR action = $2);

-- name: purge
DELETE FROM audit WHERE id = ANY (ARRAY(
    SELECT id FROM audit WHERE created_at < now() - make_interval(days => $1) ORDER BY created_at LIMIT $2
));
