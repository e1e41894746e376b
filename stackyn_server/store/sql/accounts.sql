-- name: insert
INSERT INTO account (email, email_verified, password_hash, full_name, company_name, is_admin, plan,
                     billing_status, trial_started_at, trial_ends_at, firebase_uid)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING *;

-- name: get
SELECT * FROM account WHERE id = $1 AND deleted_at IS NULL;

-- name: lock
-- Not FOR UPDATE: a transaction that has locked an app and adds a row of its tenant would wait here: a deadlock.
SELECT * FROM account WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE;

-- name: share
SELECT * FROM account WHERE id = $1 AND deleted_at IS NULL FOR SHARE;

-- name: by_email
SELECT * FROM account WHERE lower(email) = lower($1) AND deleted_at IS NULL;

-- name: lock_by_email
SELECT * FROM account WHERE lower(email) = lower($1) AND deleted_at IS NULL FOR NO KEY UPDATE;

-- name: lock_address
-- Transactions that may create an account for an address run one at a time, so that there is one account at most.
SELECT pg_advisory_xact_lock(hashtextextended('account:' || lower($1), 0));

-- name: set_profile
UPDATE account
SET full_name = coalesce($2, full_name), company_name = coalesce($3, company_name),
    password_hash = coalesce($4, password_hash), updated_at = now()
WHERE id = $1 AND deleted_at IS NULL
RETURNING *;

-- name: upgrade_password
-- Only the hash that was checked is replaced: a password set meanwhile wins.
UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2 AND deleted_at IS NULL;

-- name: prove
UPDATE account SET email_verified = true, password_hash = NULL, updated_at = now()
WHERE id = $1 AND NOT email_verified AND deleted_at IS NULL
RETURNING *;

-- name: set_trial
UPDATE account SET plan = $2, trial_started_at = $3, trial_ends_at = $4, updated_at = now()
WHERE id = $1 AND deleted_at IS NULL
RETURNING *;

-- name: set_billing_state
UPDATE account
SET billing_status = $2, plan = $3, granted_plan = $4, paid_by = $5, paid_until = $6, updated_at = now()
WHERE id = $1 AND deleted_at IS NULL
RETURNING *;

-- name: to_settle
-- Accounts whose standing may change by time or by a new configuration: none that is simply active.
SELECT id FROM account
WHERE deleted_at IS NULL AND (billing_status <> 'active' OR paid_by IS NOT NULL OR paid_until IS NOT NULL
    OR EXISTS (SELECT FROM subscription WHERE subscription.account = account.id)
    OR EXISTS (SELECT FROM app WHERE app.tenant = account.id AND app.stopped_by_billing))
ORDER BY id;

-- name: set_firebase_uid
UPDATE account SET firebase_uid = $2 WHERE id = $1 AND firebase_uid IS DISTINCT FROM $2;

-- name: set_admin
UPDATE account
SET is_admin = $2, plan = $3, granted_plan = $3, billing_status = 'active', updated_at = now()
WHERE id = $1 AND deleted_at IS NULL RETURNING *;

-- name: lock_admins
-- Admins are deleted one at a time, so that two of them can't delete each other.
SELECT id FROM account WHERE is_admin AND deleted_at IS NULL ORDER BY id FOR UPDATE;

-- name: mark_deleted
UPDATE account
SET deleted_at = now(), updated_at = now(), password_hash = NULL, is_admin = false
WHERE id = $1 AND deleted_at IS NULL
RETURNING id;

-- name: page
-- The page is cut out first: only its accounts' apps are added up.
WITH page AS MATERIALIZED (
    SELECT * FROM account
    WHERE deleted_at IS NULL
      AND ($1 = '' OR strpos(lower(email), lower($1)) > 0)
      AND ($4::uuid IS NULL OR id = $4)
    ORDER BY created_at DESC, id DESC
    LIMIT least($2, 1000) OFFSET $3
)
SELECT page.*, reserved.apps, reserved.memory_mb AS reserved_memory_mb, reserved.disk_mb AS reserved_disk_mb,
       reserved.cpu AS reserved_cpu,
       coalesce(apps_bytes, 0) AS apps_bytes, coalesce(images_bytes, 0) AS images_bytes,
       coalesce(caches_bytes, 0) AS caches_bytes, coalesce(logs_bytes, 0) AS logs_bytes
FROM page
LEFT JOIN disk_use ON disk_use.account = page.id
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS apps, coalesce(sum(memory_mb), 0)::integer AS memory_mb,
           coalesce(sum(disk_mb), 0)::integer AS disk_mb,
           coalesce(sum((settings ->> 'cpu')::numeric), 0)::double precision AS cpu
    FROM app WHERE app.tenant = page.id AND app.desired <> 'deleted'
) AS reserved
ORDER BY page.created_at DESC, page.id DESC;

-- name: count
SELECT count(*)::integer FROM account WHERE deleted_at IS NULL AND ($1 = '' OR strpos(lower(email), lower($1)) > 0);
