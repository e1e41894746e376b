-- name: get
SELECT id, secret, epoch, host, heartbeat_at, created_at FROM installation;

-- name: current_leader
-- A heartbeat in the future means that the clock jumped back: it is no sign of life. Read FOR UPDATE, the row waits for
-- every write that holds it FOR KEY SHARE, and those wait for it.
SELECT epoch, host, heartbeat_at,
       heartbeat_at IS NOT NULL
           AND abs(extract(epoch FROM clock_timestamp() - heartbeat_at)) < $1 AS is_fresh,
       extract(epoch FROM clock_timestamp() - heartbeat_at)::double precision AS heartbeat_age
FROM installation

-- name: next_epoch
UPDATE installation SET epoch = epoch + 1, host = $1, heartbeat_at = clock_timestamp() RETURNING epoch;

-- name: end_sessions
-- Sessions of servers that led until epoch $1: a frozen one may hold the lock of the claim.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND substring(application_name FROM '^stackyn epoch ([0-9]{1,18})$')::bigint <= $1;

-- name: heartbeat
UPDATE installation SET heartbeat_at = clock_timestamp() WHERE epoch = $1 RETURNING epoch;

-- name: fence
SELECT epoch FROM installation WHERE epoch = $1 FOR KEY SHARE;

-- name: epoch_is
SELECT EXISTS (SELECT FROM installation WHERE epoch = $1);

-- name: resign
UPDATE installation SET heartbeat_at = NULL WHERE epoch = $1;
