-- How long a release may take until it answers: what its owner or its repository asks for.

ALTER TABLE release
    ADD COLUMN health_timeout_seconds integer CHECK (health_timeout_seconds > 0);  -- null: [deadlines] probing
