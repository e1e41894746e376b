-- What only the leader's dispatcher does to `job`. Every write is fenced: FOR KEY SHARE on the installation's epoch, so
-- that a take-over (which holds the row FOR UPDATE) waits for it, and it fails after one.

-- name: lock
-- The first statement of a claim's transaction. Counting and marking in one statement without it does not hold a cap:
-- each claimer counts in its own snapshot (8 claimers at cap 2 left 8 running).
SELECT pg_advisory_xact_lock($1);

-- name: claim
-- One queue for each tenant and priority, oldest first, walked by the index job_queue; of each queue the first job that
-- can run; of those jobs the next by class and turn (`job_class`, `job_turn`).
-- Each step is MATERIALIZED, so that it runs once. As a sub-select, the planner may repeat a locking LIMIT 1 for each row
-- that it joins, and each run may return another job: more jobs than the limit would be marked.
WITH RECURSIVE leader AS MATERIALIZED (
    SELECT FROM installation WHERE epoch = $1 FOR KEY SHARE
), capacity AS MATERIALIZED (
    SELECT FROM leader WHERE (SELECT count(*) FROM job WHERE pool = $2 AND state = 'running') < $3
), queue AS (
    SELECT first.owner, first.priority FROM capacity CROSS JOIN LATERAL (
        SELECT job_owner(tenant) AS owner, priority FROM job
        WHERE pool = $2 AND state = 'waiting' ORDER BY 1, 2 LIMIT 1
    ) AS first
    UNION ALL
    SELECT following.owner, following.priority FROM queue CROSS JOIN LATERAL (
        SELECT job_owner(tenant) AS owner, priority FROM job
        WHERE pool = $2 AND state = 'waiting' AND (job_owner(tenant), priority) > (queue.owner, queue.priority)
        ORDER BY 1, 2 LIMIT 1
    ) AS following
), heads AS MATERIALIZED (
    SELECT queue.priority, head.id, head.since, turn.claimed_at AS last_claim
    FROM queue
    LEFT JOIN turn ON turn.pool = $2 AND turn.tenant = queue.owner
    CROSS JOIN LATERAL (
        SELECT id, greatest(queued_at, run_at) AS since FROM job
        WHERE pool = $2 AND state = 'waiting' AND priority = queue.priority AND kind = ANY($5::text[])
          AND job_owner(tenant) = queue.owner
          AND (run_at IS NULL OR run_at <= now())
          AND NOT EXISTS (SELECT FROM job AS holder WHERE holder.lock = job.lock AND holder.state = 'running')
          AND (NOT after_app_work OR NOT EXISTS (
              SELECT FROM job AS other
              WHERE other.app = job.app AND other.id <> job.id AND other.state IN ('waiting', 'running')))
          AND (kind <> 'release' OR 2 > (
              SELECT count(*) FROM instance
              WHERE instance.app = job.app AND instance.state <> 'gone'
                AND instance.deployment IS DISTINCT FROM job.subject::bigint))
        ORDER BY greatest(queued_at, run_at), id LIMIT 1
    ) AS head
), chosen AS MATERIALIZED (
    SELECT job.id FROM heads JOIN job ON job.id = heads.id
    WHERE job.state = 'waiting'
    ORDER BY job_class(heads.priority, since, last_claim, $4) DESC, job_turn(last_claim, since, job.id)
    LIMIT 1 FOR UPDATE OF job
), claimed AS (
    UPDATE job SET state = 'running', attempt = attempt + 1, epoch = $1, claimed_at = clock_timestamp()
    FROM chosen WHERE job.id = chosen.id
    RETURNING job.*
), recorded AS (
    INSERT INTO turn (pool, tenant, claimed_at) SELECT pool, job_owner(tenant), claimed_at FROM claimed
    ON CONFLICT (pool, tenant) DO UPDATE SET claimed_at = EXCLUDED.claimed_at
)
SELECT EXISTS (SELECT FROM leader) AS leading, claimed.* FROM (SELECT) AS always LEFT JOIN claimed ON true;

-- name: due_pools
SELECT pool FROM unnest($1::text[]) AS asked (pool) WHERE EXISTS (
    SELECT FROM job
    WHERE job.pool = asked.pool AND job.state = 'waiting' AND (run_at IS NULL OR run_at <= now())
);

-- name: finish
-- Periodic work goes back to waiting; its next time moves here and nowhere else, so a run that dies is not lost.
UPDATE job SET
    state = CASE WHEN schedule IS NULL THEN 'done' ELSE 'waiting' END,
    ended_at = CASE WHEN schedule IS NULL THEN now() END,
    run_at = CASE WHEN schedule IS NULL THEN run_at ELSE now() + make_interval(secs => schedule) END,
    attempt = CASE WHEN schedule IS NULL THEN attempt ELSE 0 END,
    last_success = now(), error = NULL, cancel_requested = false
FROM (SELECT FROM installation WHERE epoch = $3 FOR KEY SHARE) AS leader
WHERE id = $1 AND state = 'running' AND attempt = $2 AND job.epoch = $3
RETURNING id;

-- name: retry
-- The next attempt of a cancelled job runs at once, and sees the cancellation.
UPDATE job SET state = 'waiting', run_at = CASE WHEN cancel_requested THEN NULL ELSE $4::timestamptz END, error = $5
FROM (SELECT FROM installation WHERE epoch = $3 FOR KEY SHARE) AS leader
WHERE id = $1 AND state = 'running' AND attempt = $2 AND job.epoch = $3
RETURNING id;

-- name: wait
-- Other work has to come first: no failure, so the attempt does not count as one.
UPDATE job SET
    state = 'waiting', run_at = CASE WHEN cancel_requested THEN NULL ELSE $4::timestamptz END, error = $5,
    waits = waits + 1, after_app_work = $6
FROM (SELECT FROM installation WHERE epoch = $3 FOR KEY SHARE) AS leader
WHERE id = $1 AND state = 'running' AND attempt = $2 AND job.epoch = $3
RETURNING id;

-- name: remember
-- Keep values in the row's arguments, where they outlive this attempt and this server.
UPDATE job SET arguments = arguments || $4
FROM (SELECT FROM installation WHERE epoch = $3 FOR KEY SHARE) AS leader
WHERE id = $1 AND state = 'running' AND attempt = $2 AND job.epoch = $3
RETURNING id;

-- name: mark_dead
UPDATE job SET state = 'dead', ended_at = now(), error = $4
FROM (SELECT FROM installation WHERE epoch = $3 FOR KEY SHARE) AS leader
WHERE id = $1 AND state = 'running' AND attempt = $2 AND job.epoch = $3
RETURNING id;

-- name: requeue_stalled
-- Running rows without a task wait again: those of an older epoch, and those of ours that are not in $2. The attempt that
-- was interrupted does not count as a failure.
WITH leader AS MATERIALIZED (
    SELECT FROM installation WHERE epoch = $1 FOR KEY SHARE
), requeued AS (
    UPDATE job SET state = 'waiting', error = 'interrupted', waits = waits + 1
    FROM leader WHERE state = 'running' AND (job.epoch IS DISTINCT FROM $1 OR NOT id = ANY($2::bigint[]))
    RETURNING id, kind, subject
)
SELECT EXISTS (SELECT FROM leader) AS leading, requeued.* FROM (SELECT) AS always LEFT JOIN requeued ON true;

-- name: add_missing
-- An open deployment has exactly one open job, of the kind that its phase belongs to. One statement is one snapshot: a
-- deployment that moves from one job to the next in a transaction is never seen without a job.
INSERT INTO job (kind, subject, app, tenant, lock, pool, error)
SELECT needed.kind, deployment.id::text, deployment.app, deployment.tenant,
       replace(needed.lock, '{app}', deployment.app::text), needed.pool, 'its job was missing'
FROM (SELECT FROM installation WHERE epoch = $1 FOR KEY SHARE) AS leader, deployment
JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS needed (phase, kind, lock, pool)
    ON needed.phase = deployment.phase
WHERE NOT EXISTS (
    SELECT FROM job
    WHERE job.subject = deployment.id::text AND job.kind = ANY($3) AND job.state IN ('waiting', 'running')
)
ON CONFLICT (kind, subject) WHERE state IN ('waiting', 'running') DO NOTHING
RETURNING id, kind, subject;

-- name: timers
-- The timer of periodic work that is due or running fires after its interval: a timer for now would fire for ever
-- while the row waits for a place.
SELECT id, kind, schedule,
       (CASE WHEN run_at > now() THEN extract(epoch FROM run_at - clock_timestamp()) ELSE schedule END)
           ::double precision AS seconds
FROM job
WHERE ($1::bigint[] IS NULL OR id = ANY($1))
  AND ($2::double precision IS NULL OR run_at < now() + make_interval(secs => $2))
  AND ((state = 'waiting' AND run_at > now()) OR (schedule IS NOT NULL AND state IN ('waiting', 'running')));

-- name: cancelled
SELECT id FROM job WHERE state = 'running' AND cancel_requested AND id = ANY($1::bigint[]);

-- name: was_cancelled
-- Locked: a concurrent cancellation waits for this transaction, and finds the job that goes on.
SELECT cancel_requested FROM job WHERE id = $1 FOR UPDATE;

-- name: arguments
SELECT arguments FROM job WHERE id = $1;

-- name: is_running
SELECT state = 'running' FROM job WHERE id = $1;

-- name: database_now
SELECT clock_timestamp();

-- name: shift
-- The database's clock jumped back by $2 seconds: relative waits end when they were meant to.
UPDATE job SET run_at = run_at - make_interval(secs => $2)
FROM (SELECT FROM installation WHERE epoch = $1 FOR KEY SHARE) AS leader
WHERE state = 'waiting' AND run_at > now() AND (attempt > 0 OR schedule IS NOT NULL)
RETURNING id;

-- name: upsert_periodic
-- Names are unique among open rows (job_open); a shorter interval takes effect at once.
INSERT INTO job (kind, subject, pool, schedule, run_at)
SELECT $2, name, $3, seconds, now()
FROM (SELECT FROM installation WHERE epoch = $1 FOR KEY SHARE) AS leader,
     unnest($4::text[], $5::double precision[]) AS wanted (name, seconds)
ON CONFLICT (kind, subject) WHERE state IN ('waiting', 'running')
    DO UPDATE SET schedule = EXCLUDED.schedule,
                  run_at = least(job.run_at, now() + make_interval(secs => EXCLUDED.schedule));

-- name: retire_periodic
UPDATE job SET state = 'done', ended_at = now(), schedule = NULL
FROM (SELECT FROM installation WHERE epoch = $1 FOR KEY SHARE) AS leader
WHERE kind = $2 AND schedule IS NOT NULL AND state IN ('waiting', 'running') AND NOT subject = ANY($3::text[]);

-- name: periodic
-- `quiet_seconds`: since the last success, but not from before $2 seconds ago, when this server began.
SELECT subject AS name, schedule, last_success, run_at, error,
       least($2::double precision, extract(epoch FROM now() - greatest(last_success, queued_at)))::double precision
           AS quiet_seconds,
       CASE WHEN state = 'running' THEN extract(epoch FROM now() - claimed_at)::double precision END AS running_seconds
FROM job WHERE kind = $1 AND schedule IS NOT NULL AND state IN ('waiting', 'running')
ORDER BY subject;
