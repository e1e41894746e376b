-- Credentials of image registries, for the builds of an account's apps. The password is sealed for exactly its account,
-- app and host.
CREATE TABLE registry_credential (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    app        bigint REFERENCES app ON DELETE CASCADE,  -- null: for all apps of the account
    host       text NOT NULL,
    username   text NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX registry_credential_scope ON registry_credential (account, (coalesce(app, 0)), host);
CREATE INDEX registry_credential_of_app ON registry_credential (app) WHERE app IS NOT NULL;
