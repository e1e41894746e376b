-- Runtime logs survive their containers: what these wrote is stored like build logs, with the times of the lines.

ALTER TABLE log_chunk ADD COLUMN stamps jsonb;        -- runtime: nanoseconds of each line, negative for the standard error

ALTER TABLE instance ADD COLUMN logged_until bigint;  -- the container's output is stored up to the line of this time

INSERT INTO log_chunk (app, deployment, kind, content, created_at)
SELECT i.app, coalesce(i.deployment, l.deployment), 'runtime', i.last_lines || E'\n', coalesce(i.gone_at, now())
FROM instance i JOIN release l ON l.id = i.release
WHERE i.last_lines <> ''
ORDER BY i.id;

ALTER TABLE instance DROP COLUMN last_lines;
