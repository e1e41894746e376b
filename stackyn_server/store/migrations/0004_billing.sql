-- What people pay for. An account's status and plan are derived from these rows, its trial and the administrator's
-- word, by domain.subscriptions, and are written by services.billing alone.

ALTER TABLE account
    ADD COLUMN granted_plan text,           -- by an administrator; counts until what pays for the account changes
    ADD COLUMN paid_by text,                -- the subscription that entitles it, and to what: '<provider id>:<variant>'
    ADD COLUMN paid_until timestamptz;      -- that subscription is cancelled, and paid until then

-- The newest picture of each subscription at the provider. Without an account it is parked: the buyer isn't known yet.
CREATE TABLE subscription (
    provider_id text PRIMARY KEY,
    account     uuid REFERENCES account ON DELETE CASCADE,
    email       text NOT NULL,
    variant     text NOT NULL,
    status      text NOT NULL,              -- domain.subscriptions.Status, the provider's words
    is_served   boolean NOT NULL,           -- while it is paused: whether the service goes on
    ends_at     timestamptz,
    as_of       timestamptz NOT NULL,       -- when the provider last changed it, by its own clock
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX subscription_of_account ON subscription (account);
CREATE INDEX subscription_parked ON subscription (lower(email)) WHERE account IS NULL;

-- Every event that was taken, once: `digest` is of the body as it was signed.
CREATE TABLE billing_event (
    digest       bytea PRIMARY KEY,
    name         text NOT NULL,
    subscription text,
    account      uuid,
    outcome      text NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX billing_event_of_subscription ON billing_event (subscription, received_at);

ALTER TABLE app ADD COLUMN stopped_by_billing boolean NOT NULL DEFAULT false;  -- starts again when the account pays
CREATE INDEX app_stopped_by_billing ON app (tenant) WHERE stopped_by_billing;
