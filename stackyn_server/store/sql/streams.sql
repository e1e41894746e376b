-- name: rights
-- One document instead of arrays, whose types asyncpg looks up on each new connection with two more queries.
SELECT account.id IS NOT NULL AND (session.id IS NOT NULL OR api_token.id IS NOT NULL) AS is_signed_in,
       app.id IS NOT NULL AS has_app, coalesce(account.plan, '') AS plan
FROM jsonb_to_recordset($1)
    AS stream (number integer, account uuid, session uuid, token bigint, app bigint)
LEFT JOIN account ON account.id = stream.account AND account.deleted_at IS NULL
LEFT JOIN session ON session.id = stream.session AND session.account = stream.account
    AND session.ended_at IS NULL AND session.expires_at > now()
LEFT JOIN api_token ON api_token.id = stream.token AND api_token.account = stream.account
    AND (api_token.expires_at IS NULL OR api_token.expires_at > now())
LEFT JOIN app ON app.id = stream.app AND app.tenant = stream.account AND app.desired <> 'deleted'
ORDER BY stream.number;
