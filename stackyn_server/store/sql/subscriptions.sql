-- name: take_event
-- A second delivery of the same event waits here for the first one, and finds the event recorded.
INSERT INTO billing_event (digest, name, subscription, outcome) VALUES ($1, $2, $3, 'taken')
ON CONFLICT (digest) DO NOTHING
RETURNING digest;

-- name: end_event
UPDATE billing_event SET outcome = $2, account = $3 WHERE digest = $1;

-- name: lock_subscription
-- Events about one subscription run one at a time, so that each sees what the one before has changed.
SELECT pg_advisory_xact_lock(hashtextextended('subscription:' || $1, 0));

-- name: owner
SELECT account.id FROM subscription JOIN account ON account.id = subscription.account
WHERE provider_id = $1 AND account.deleted_at IS NULL;

-- name: put
-- The provider delivers in any order: an older picture changes nothing. The account, once known, stays, unless it is
-- deleted.
INSERT INTO subscription AS known (provider_id, account, email, variant, status, is_served, ends_at, as_of)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (provider_id) DO UPDATE SET
    account = coalesce(EXCLUDED.account, known.account), email = EXCLUDED.email, variant = EXCLUDED.variant,
    status = EXCLUDED.status, is_served = EXCLUDED.is_served, ends_at = EXCLUDED.ends_at, as_of = EXCLUDED.as_of,
    updated_at = now()
WHERE known.as_of <= EXCLUDED.as_of
RETURNING provider_id;

-- name: set_status
-- What a payment says of its subscription, when that was not described since. `as_of` stays: the description follows.
UPDATE subscription SET status = $2, updated_at = now()
WHERE provider_id = $1 AND status = ANY($3::text[]) AND as_of <= $4
RETURNING provider_id;

-- name: claim
UPDATE subscription SET account = $1, updated_at = now()
WHERE lower(email) = lower($2) AND (account IS NULL OR account IN (SELECT id FROM account WHERE deleted_at IS NOT NULL))
RETURNING provider_id;

-- name: of_account
SELECT provider_id, variant, status, is_served, ends_at FROM subscription WHERE account = $1 ORDER BY provider_id;

-- name: forget
DELETE FROM subscription WHERE account = $1;

-- name: purge_events
DELETE FROM billing_event WHERE digest = ANY (ARRAY(
    SELECT digest FROM billing_event WHERE received_at < now() - make_interval(days => $1)
    ORDER BY received_at LIMIT $2
));

-- name: purge_unclaimed
-- Nobody has come for them, or their account is deleted: the provider would have changed a current one meanwhile.
DELETE FROM subscription WHERE provider_id = ANY (ARRAY(
    SELECT provider_id FROM subscription LEFT JOIN account ON account.id = subscription.account
    WHERE subscription.updated_at < now() - make_interval(days => $1)
      AND (subscription.account IS NULL OR account.deleted_at IS NOT NULL)
    ORDER BY subscription.updated_at LIMIT $2
));
