-- What requests and handlers do with `job`. What only the dispatcher of the leading server does is in claims.sql.

-- name: enqueue
INSERT INTO job (kind, subject, app, tenant, lock, arguments, priority, pool, run_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (kind, subject) WHERE state IN ('waiting', 'running') DO NOTHING
RETURNING id;

-- name: amend
UPDATE job SET arguments = arguments || $3 WHERE kind = $1 AND subject = $2 AND state = 'waiting';

-- name: lock_open
-- The lock keeps the open job from ending before the transaction does.
SELECT id FROM job WHERE kind = $1 AND subject = $2 AND state IN ('waiting', 'running') FOR UPDATE;

-- name: given_up_since
SELECT error FROM job
WHERE kind = $1 AND subject = $2 AND state = 'dead' AND ended_at >= $3 ORDER BY id DESC LIMIT 1;

-- name: wake_waiting_for
UPDATE job SET run_at = NULL
WHERE kind = $1 AND state = 'waiting' AND run_at > now() AND arguments -> 'waits_for' ? $2;

-- name: enqueue_at
-- A timer: one row for each subject, whose time moves. A running row looks again by itself.
INSERT INTO job (kind, subject, tenant, priority, pool, run_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, subject) WHERE state IN ('waiting', 'running') DO UPDATE SET run_at = EXCLUDED.run_at
RETURNING id;

-- name: supersede_waiting
UPDATE job SET state = 'done', ended_at = now(), error = 'superseded'
WHERE app = $2 AND kind = $1 AND state = 'waiting' AND ($3::bigint IS NULL OR subject::bigint < $3)
RETURNING subject;

-- name: request_cancel
-- One statement for both states: between two statements a running row could go back to waiting and be missed.
WITH cancelled AS (
    UPDATE job SET
        state = CASE state WHEN 'waiting' THEN 'done' ELSE state END,
        ended_at = CASE state WHEN 'waiting' THEN now() END,
        error = CASE state WHEN 'waiting' THEN 'cancelled' ELSE error END,
        cancel_requested = true
    WHERE state IN ('waiting', 'running') AND schedule IS NULL
      AND ($1::bigint IS NULL OR app = $1)
      AND ($2::text IS NULL OR kind = $2)
      AND ($3::text IS NULL OR subject = $3)
    RETURNING subject, state
)
SELECT subject FROM cancelled WHERE state = 'done';

-- name: shorten_deadline
-- Open jobs of a kind get an earlier deadline. Running ones are notified here: the trigger notifies of waiting rows only.
WITH shortened AS (
    UPDATE job SET
        arguments = jsonb_set(arguments, '{deadline}', to_jsonb(extract(epoch FROM now())::double precision + $3)),
        run_at = CASE state WHEN 'waiting' THEN NULL ELSE run_at END
    WHERE app = $2 AND kind = $1 AND state IN ('waiting', 'running')
      AND coalesce((arguments ->> 'deadline')::double precision, 'Infinity')
          > extract(epoch FROM now())::double precision + $3
    RETURNING id, state
)
SELECT pg_notify('stackyn_job', id || ' ' || state || ' deadline') FROM shortened;

-- name: waiting
-- The waiting jobs of some apps: the place in the order of the claim (claims.sql), and what each waits for. Of a class
-- each tenant is claimed from once a round, so a place is a sum over the other tenants' queues, and nothing is sorted.
WITH asked_jobs AS MATERIALIZED (
    SELECT * FROM job WHERE app = ANY($1::bigint[]) AND state = 'waiting'
), due AS MATERIALIZED (
    SELECT job.id, job.pool, job_owner(job.tenant) AS owner,
           job_turn(turn.claimed_at, greatest(job.queued_at, job.run_at), job.id) AS turn,
           job_class(job.priority, greatest(job.queued_at, job.run_at), turn.claimed_at, $2) AS class
    FROM job LEFT JOIN turn ON turn.pool = job.pool AND turn.tenant = job_owner(job.tenant)
    WHERE job.pool IN (SELECT pool FROM asked_jobs) AND job.state = 'waiting'
      AND (job.run_at IS NULL OR job.run_at <= now())
), own AS MATERIALIZED (
    SELECT due.*, (
        SELECT count(*) FROM due AS earlier
        WHERE (earlier.pool, earlier.owner, earlier.class) = (due.pool, due.owner, due.class)
          AND earlier.turn <= due.turn) AS round
    FROM due WHERE id IN (SELECT id FROM asked_jobs)
), positions AS (
    SELECT own.id, own.round + coalesce((
        SELECT sum(CASE
            WHEN queue.class > own.class THEN queue.length
            WHEN queue.earlier >= own.round THEN own.round
            ELSE least(queue.length, own.round - 1) END)
        FROM (
            SELECT due.class, count(*) AS length, count(*) FILTER (WHERE due.turn < own.turn) AS earlier
            FROM due
            WHERE due.pool = own.pool
              AND (due.class > own.class OR due.class = own.class AND due.owner <> own.owner)
            GROUP BY due.owner, due.class
        ) AS queue), 0)::bigint AS position
    FROM own
)
SELECT asked_jobs.app, asked_jobs.kind, asked_jobs.subject, asked_jobs.attempt - asked_jobs.waits AS attempt,
       asked_jobs.run_at, asked_jobs.error, asked_jobs.queued_at, positions.position,
       CASE
           WHEN asked_jobs.run_at > now() THEN 'time'
           WHEN EXISTS (
               SELECT FROM job AS holder WHERE holder.lock = asked_jobs.lock AND holder.state = 'running') THEN 'lock'
           WHEN asked_jobs.kind = 'release' AND 2 <= (
               SELECT count(*) FROM instance
               WHERE instance.app = asked_jobs.app AND instance.state <> 'gone'
                 AND instance.deployment IS DISTINCT FROM asked_jobs.subject::bigint) THEN 'slot'
           ELSE 'place'
       END AS reason
FROM asked_jobs LEFT JOIN positions ON positions.id = asked_jobs.id
ORDER BY asked_jobs.app, asked_jobs.id;

-- name: overview
-- Each pool's queue. `oldest_seconds`: how long the longest waiting of the due ones has waited.
SELECT pool,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'waiting' AND (run_at IS NULL OR run_at <= now())) AS due,
       count(*) FILTER (WHERE state = 'waiting' AND run_at > now()) AS later,
       coalesce(extract(epoch FROM now() - min(greatest(queued_at, run_at))
           FILTER (WHERE state = 'waiting' AND (run_at IS NULL OR run_at <= now()))), 0)::double precision
           AS oldest_seconds
FROM job WHERE state IN ('waiting', 'running') GROUP BY pool ORDER BY pool;

-- name: purge
WITH old_claims AS (
    DELETE FROM turn WHERE claimed_at < now() - make_interval(days => $1)
)
DELETE FROM job WHERE id = ANY (ARRAY(
    SELECT id FROM job WHERE state IN ('done', 'dead') AND ended_at < now() - make_interval(days => $1)
    ORDER BY ended_at LIMIT $2
));
