-- A phase between built and booting for the release command, whose container is recorded before it is started: one that
-- is recorded and gone has ended nobody knows how, and is never started a second time.

ALTER TABLE deployment
    ADD COLUMN command_container text,         -- id of the container in which its release command runs, or ran
    ADD COLUMN command_done_at   timestamptz,  -- when that was seen to have succeeded
    DROP CONSTRAINT deployment_phase_check,
    ADD CONSTRAINT deployment_phase_check CHECK (phase IN (
        'queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching',
        'live', 'failed', 'cancelled', 'superseded', 'replaced'));

DROP INDEX deployment_open;
CREATE INDEX deployment_open ON deployment (app) WHERE phase IN (
    'queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching');
