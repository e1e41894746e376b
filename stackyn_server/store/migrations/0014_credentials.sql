-- A session that a code or a Firebase sign-in opened proves its owner for some minutes: credentials may be changed in it.
ALTER TABLE session ADD COLUMN proved_at timestamptz;

-- What an API token may do (domain.scopes), and the one app that it sees (null: all of its account's). Tokens that are
-- there keep what they could do, apart from credentials.
ALTER TABLE api_token ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,deploy,admin}',
                      ADD COLUMN app bigint REFERENCES app ON DELETE CASCADE;
ALTER TABLE api_token ALTER COLUMN scopes DROP DEFAULT,
    ADD CHECK (scopes <> '{}' AND scopes <@ '{read,deploy,admin}'::text[]);
CREATE INDEX api_token_of_app ON api_token (app) WHERE app IS NOT NULL;
CREATE INDEX api_token_expired ON api_token (expires_at) WHERE expires_at IS NOT NULL;
