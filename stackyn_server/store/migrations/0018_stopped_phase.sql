-- What was live and was stopped is not what another deployment replaced. `waiting_reason` of a stopped one says why.

ALTER TABLE deployment
    DROP CONSTRAINT deployment_phase_check,
    ADD CONSTRAINT deployment_phase_check CHECK (phase IN (
        'queued', 'fetching', 'planning', 'building', 'built', 'releasing', 'booting', 'probing', 'switching',
        'live', 'failed', 'cancelled', 'superseded', 'replaced', 'stopped'));
