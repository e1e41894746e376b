-- name: no_statement_limit
SET LOCAL statement_timeout = 0

-- name: lock
SELECT pg_advisory_xact_lock($1)

-- name: create_table
CREATE TABLE IF NOT EXISTS migration (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: table_exists
SELECT to_regclass('migration') IS NOT NULL

-- name: applied
SELECT name, checksum FROM migration

-- name: record
INSERT INTO migration (name, checksum) VALUES ($1, $2)
