-- What is sealed with another key than $2, in steps: rows with an id above $1, at most $3.

-- name: variables
SELECT v.id, v.sealed, a.tenant, v.app, v.key FROM variable v JOIN app a ON a.id = v.app
WHERE v.id > $1 AND length(v.sealed) > 1 AND get_byte(v.sealed, 0) * 256 + get_byte(v.sealed, 1) <> $2
ORDER BY v.id LIMIT $3 FOR UPDATE OF v;

-- name: set_variables
UPDATE variable SET sealed = n.sealed FROM unnest($1::bigint[], $2::bytea[]) AS n(id, sealed) WHERE variable.id = n.id;

-- name: credentials
SELECT c.id, c.sealed, c.account, c.app, c.host FROM registry_credential c
WHERE c.id > $1 AND length(c.sealed) > 1 AND get_byte(c.sealed, 0) * 256 + get_byte(c.sealed, 1) <> $2
ORDER BY c.id LIMIT $3 FOR UPDATE OF c;

-- name: set_credentials
UPDATE registry_credential SET sealed = n.sealed
FROM unnest($1::bigint[], $2::bytea[]) AS n(id, sealed) WHERE registry_credential.id = n.id;

-- name: releases
SELECT r.id, r.sealed_environment AS sealed, a.tenant, r.app, r.deployment FROM release r JOIN app a ON a.id = r.app
WHERE r.id > $1 AND length(r.sealed_environment) > 1 AND get_byte(r.sealed_environment, 0) * 256 + get_byte(r.sealed_environment, 1) <> $2
ORDER BY r.id LIMIT $3 FOR UPDATE OF r;

-- name: set_releases
UPDATE release SET sealed_environment = n.sealed
FROM unnest($1::bigint[], $2::bytea[]) AS n(id, sealed) WHERE release.id = n.id;

-- name: allow_releases
SELECT set_config('stackyn.reseals', 'on', true);

-- name: mails
SELECT j.id, decode(j.arguments ->> 'sealed', 'base64') AS sealed, j.subject FROM job j
WHERE j.id > $1 AND length(decode(j.arguments ->> 'sealed', 'base64')) > 1 AND get_byte(decode(j.arguments ->> 'sealed', 'base64'), 0) * 256 + get_byte(decode(j.arguments ->> 'sealed', 'base64'), 1) <> $2
  AND j.kind = 'mail' AND j.state IN ('waiting', 'running')
ORDER BY j.id LIMIT $3 FOR UPDATE OF j;

-- name: set_mails
UPDATE job SET arguments = jsonb_set(arguments, '{sealed}', to_jsonb(translate(encode(n.sealed, 'base64'), E'\n', '')))
FROM unnest($1::bigint[], $2::bytea[]) AS n(id, sealed) WHERE job.id = n.id;
