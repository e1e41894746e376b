-- name: insert
WITH inserted AS (
    INSERT INTO deployment (app, tenant, cause, phase, branch, commit, plan, image, source_release)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    RETURNING *
), counted AS (
    UPDATE app SET deployment_count = deployment_count + 1 WHERE id = $1
), event_added AS (
    INSERT INTO event (name, tenant, app, deployment, data)
    SELECT 'deployment.' || phase, tenant, app, id, jsonb_build_object('cause', cause) FROM inserted
)
SELECT * FROM inserted;

-- name: get
SELECT * FROM deployment WHERE id = $1;

-- name: get_of_tenant
SELECT d.* FROM deployment d JOIN app a ON a.id = d.app
WHERE d.id = $1 AND a.desired <> 'deleted' AND ($2::uuid IS NULL OR d.tenant = $2);

-- name: list_of_app
SELECT * FROM deployment WHERE app = $1 ORDER BY created_at DESC, id DESC LIMIT $2;

-- name: jobless_of_app
-- What nobody works on and nobody waits to: there should be none, and the sweep gives each a job again.
SELECT * FROM deployment
WHERE app = $1
  AND phase IN ('queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching')
  AND NOT EXISTS (
      SELECT FROM job
      WHERE job.subject = deployment.id::text AND job.kind IN ('build', 'release')
        AND job.state IN ('waiting', 'running'))
ORDER BY id;

-- name: has_open
SELECT EXISTS (
    SELECT FROM deployment
    WHERE app = $1
      AND phase IN (
          'queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching'));

-- name: live_of_app
SELECT * FROM deployment WHERE app = $1 AND phase = 'live';

-- name: advance
-- The epoch is read with KEY SHARE: without it a write of an older server commits after a take-over.
WITH moved AS (
    UPDATE deployment SET
        phase = $4, version = version + 1, moved_by = $5, phase_since = now(), updated_at = now(),
        commit = coalesce($7, commit), plan = coalesce($8, plan), image = coalesce($9, image),
        release = coalesce($10, release), failure = coalesce($11, failure), waiting_reason = $12,
        build_key = coalesce($13, build_key), branch = coalesce($14, branch),
        image_bytes = coalesce($15, image_bytes),
        live_at = CASE WHEN $4 = 'live' THEN now() ELSE live_at END,
        ended_at = CASE WHEN $4 IN ('failed', 'cancelled', 'superseded', 'replaced', 'stopped') THEN now() END
    FROM (SELECT 1 FROM installation WHERE epoch = $6 FOR KEY SHARE) AS leader
    WHERE id = $1 AND phase = $2 AND version = $3
    RETURNING deployment.*
), event_added AS (
    INSERT INTO event (name, tenant, app, deployment, data)
    SELECT 'deployment.' || phase, tenant, app, id,
           jsonb_strip_nulls(jsonb_build_object('from', $2::text, 'by', moved_by, 'reason', waiting_reason,
                                                'failure', failure -> 'code'))
    FROM moved
)
SELECT * FROM moved;

-- name: set_command
-- Of one that is as it was read, by the server that leads.
UPDATE deployment SET
    command_container = coalesce($4, command_container),
    command_done_at = CASE WHEN $5 THEN coalesce(command_done_at, now()) ELSE command_done_at END,
    updated_at = now()
FROM (SELECT FROM installation WHERE epoch = $3 FOR KEY SHARE) AS leader
WHERE id = $1 AND phase = 'releasing' AND version = $2
RETURNING deployment.*;

-- name: built_before
SELECT image FROM deployment WHERE app = $1 AND build_key = $2 AND image IS NOT NULL
GROUP BY image ORDER BY max(id) DESC LIMIT 5;

-- name: set_waiting_reason
UPDATE deployment SET waiting_reason = $2, updated_at = now() WHERE id = $1 AND waiting_reason IS DISTINCT FROM $2;

-- name: needing_clone
SELECT id FROM deployment
WHERE id = ANY ($1::bigint[]) AND phase IN ('queued', 'fetching', 'planning', 'building');

-- name: unfinished
SELECT id FROM deployment
WHERE phase IN ('queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching');
