-- What the watch records of running apps: how much each uses, and whether its container is really up and well.

-- `received_bytes`, `sent_bytes` and `cpu` are of the time since the sample before; null where there is none.
-- Coarse rows stand for a whole step of `[samples] coarse_seconds` and have no instance.
ALTER TABLE sample
    ADD COLUMN instance bigint,
    ADD COLUMN coarse boolean NOT NULL DEFAULT false,
    ALTER COLUMN cpu DROP NOT NULL,
    ALTER COLUMN received_bytes DROP NOT NULL,
    ALTER COLUMN sent_bytes DROP NOT NULL;
CREATE INDEX sample_age ON sample (coarse, taken_at);

ALTER TABLE instance
    ADD COLUMN engine_restarts integer NOT NULL DEFAULT 0,  -- the engine's own count, as far as we have counted it
    ADD COLUMN down_since timestamptz,                      -- it should be up, and its container does not run
    ADD COLUMN unhealthy_since timestamptz;                 -- it runs, and does not answer its health checks

CREATE INDEX event_of_instance ON event (app, name, created_at DESC);
CREATE INDEX event_age ON event (created_at);
