-- The rows that are the truth: docs/architecture.md names them. What can be a rule of the database, is one.

CREATE TABLE installation (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id           uuid NOT NULL DEFAULT gen_random_uuid(),
    secret       text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    epoch        bigint NOT NULL DEFAULT 0,
    host         text NOT NULL DEFAULT '',
    heartbeat_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- Accounts -----------------------------------------------------------------------------------------------------

CREATE TABLE account (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email            text NOT NULL,
    email_verified   boolean NOT NULL DEFAULT false,
    password_hash    text,
    full_name        text,
    company_name     text,
    is_admin         boolean NOT NULL DEFAULT false,
    plan             text NOT NULL,
    billing_status   text NOT NULL DEFAULT 'active' CHECK (billing_status IN ('trial', 'active', 'expired')),
    trial_started_at timestamptz,
    trial_ends_at    timestamptz,
    firebase_uid     text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz
);
CREATE UNIQUE INDEX account_email ON account (lower(email)) WHERE deleted_at IS NULL;
CREATE INDEX account_newest ON account (created_at DESC, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE session (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account    uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    token_hash bytea,                       -- of a foreign (Firebase) token that opened this session; ours carry the id
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX session_account ON session (account);
CREATE UNIQUE INDEX session_token ON session (token_hash) WHERE token_hash IS NOT NULL;

CREATE TABLE one_time_code (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      text NOT NULL,               -- lower case
    purpose    text NOT NULL CHECK (purpose IN ('sign_in', 'reset')),
    code_hash  bytea NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX one_time_code_newest ON one_time_code (email, purpose, id DESC);

CREATE TABLE api_token (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account      uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    name         text NOT NULL,
    token_hash   bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    expires_at   timestamptz
);
CREATE INDEX api_token_account ON api_token (account);

-- Apps ---------------------------------------------------------------------------------------------------------

CREATE TABLE app (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant          uuid NOT NULL REFERENCES account,
    name            text NOT NULL,
    slug            text NOT NULL,
    repository      text NOT NULL,
    branch          text NOT NULL,
    settings        jsonb NOT NULL,         -- domain.apps.AppSettings
    memory_mb       integer NOT NULL GENERATED ALWAYS AS ((settings ->> 'memory_mb')::integer) STORED,
    disk_mb         integer NOT NULL GENERATED ALWAYS AS ((settings ->> 'disk_mb')::integer) STORED,
    desired         text NOT NULL DEFAULT 'running' CHECK (desired IN ('running', 'stopped', 'deleted')),
    stop_reason     text,                   -- why the platform stopped it, when its owner did not
    current_release bigint,
    seat            integer,                -- two addresses for its whole life; null once they may be somebody else's
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    torn_down_at    timestamptz             -- everything of a deleted app is gone; its seat is still in quarantine
);
CREATE UNIQUE INDEX app_name ON app (tenant, name) WHERE desired <> 'deleted';
CREATE UNIQUE INDEX app_slug ON app (slug) WHERE torn_down_at IS NULL;
CREATE UNIQUE INDEX app_seat ON app (seat) WHERE seat IS NOT NULL;
CREATE INDEX app_of_tenant ON app (tenant, created_at DESC, id DESC) WHERE desired <> 'deleted';
CREATE INDEX app_newest ON app (created_at DESC, id DESC) WHERE desired <> 'deleted';

CREATE TABLE variable (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app        bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    key        text NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (app, key)
);

CREATE TABLE deployment (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app            bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    tenant         uuid NOT NULL REFERENCES account,
    cause          text NOT NULL CHECK (cause IN ('create', 'redeploy', 'rollback', 'restart', 'start')),
    phase          text NOT NULL DEFAULT 'queued' CHECK (phase IN (
        'queued', 'fetching', 'planning', 'building', 'built', 'booting', 'probing', 'switching',
        'live', 'failed', 'cancelled', 'superseded', 'replaced')),
    version        integer NOT NULL DEFAULT 0,
    moved_by       text,                    -- '<job>:<attempt>' of the last move
    branch         text NOT NULL,
    commit         text,
    plan           jsonb,                   -- buildplan.BuildPlan as JSON
    image          text,                    -- image id
    source_release bigint,                  -- the release that a rollback, restart or start runs again
    release        bigint,                  -- its own candidate
    failure        jsonb,                   -- domain.failures.Failure as JSON
    waiting_reason text,
    phase_since    timestamptz NOT NULL DEFAULT now(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    live_at        timestamptz,
    ended_at       timestamptz,
    CHECK (phase <> 'failed' OR failure IS NOT NULL)
);
CREATE INDEX deployment_newest ON deployment (app, created_at DESC, id DESC);
CREATE INDEX deployment_open ON deployment (app)
    WHERE phase IN ('queued', 'fetching', 'planning', 'building', 'built', 'booting', 'probing', 'switching');
CREATE UNIQUE INDEX deployment_live ON deployment (app) WHERE phase = 'live';

CREATE TABLE release (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app                bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    number             integer,             -- null while it is a candidate
    deployment         bigint NOT NULL REFERENCES deployment ON DELETE CASCADE,
    image              text NOT NULL,
    sealed_environment bytea NOT NULL,
    memory_mb          integer NOT NULL,
    disk_mb            integer NOT NULL,
    cpu                double precision NOT NULL,
    command            text,                -- shell words; null: the image's own
    port               integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    health_path        text,
    commit             text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    live_at            timestamptz,
    image_removed_at   timestamptz,
    UNIQUE (app, number),
    UNIQUE (deployment)
);
ALTER TABLE app ADD FOREIGN KEY (current_release) REFERENCES release DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE deployment ADD FOREIGN KEY (source_release) REFERENCES release DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE deployment ADD FOREIGN KEY (release) REFERENCES release DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION refuse_release_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number IS NOT NULL AND (to_jsonb(OLD) - 'image_removed_at') <> (to_jsonb(NEW) - 'image_removed_at') THEN
        RAISE EXCEPTION 'release % is immutable', OLD.id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER release_immutable BEFORE UPDATE ON release FOR EACH ROW EXECUTE FUNCTION refuse_release_change();

CREATE TABLE instance (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app           bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    release       bigint NOT NULL REFERENCES release ON DELETE CASCADE,
    deployment    bigint REFERENCES deployment ON DELETE CASCADE,  -- null: made by wake or repair
    slot          smallint NOT NULL CHECK (slot IN (0, 1)),
    container     text,                     -- the engine's id, once created
    state         text NOT NULL DEFAULT 'starting' CHECK (state IN ('starting', 'up', 'draining', 'gone')),
    restart_count integer NOT NULL DEFAULT 0,
    last_lines    text,                     -- kept when the container is removed
    last_state    jsonb,                    -- exit code, out of memory, times; kept likewise
    created_at    timestamptz NOT NULL DEFAULT now(),
    up_at         timestamptz,
    gone_at       timestamptz
);
CREATE UNIQUE INDEX instance_slot ON instance (app, slot) WHERE state <> 'gone';
CREATE INDEX instance_release ON instance (release);

CREATE TABLE route (
    app        bigint PRIMARY KEY REFERENCES app ON DELETE CASCADE,
    instance   bigint REFERENCES instance ON DELETE SET NULL,
    previous   bigint REFERENCES instance ON DELETE SET NULL,  -- while switching: where to go back to
    state      text NOT NULL CHECK (state IN ('switching', 'serving', 'held', 'withdrawn')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state IN ('withdrawn') OR instance IS NOT NULL)
);

CREATE TABLE publication (
    epoch        bigint NOT NULL,
    number       bigint NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch, number)
);

CREATE TABLE domain (
    host       text PRIMARY KEY,
    app        bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    state      text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'active', 'failed')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Work ---------------------------------------------------------------------------------------------------------

CREATE TABLE job (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text NOT NULL,
    arguments        jsonb NOT NULL DEFAULT '{}',
    subject          text NOT NULL,         -- the deployment, instance, app or name that it is about
    app              bigint REFERENCES app ON DELETE CASCADE,
    tenant           uuid,
    lock             text,
    pool             text NOT NULL,
    priority         integer NOT NULL DEFAULT 0,
    state            text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'dead')),
    cancel_requested boolean NOT NULL DEFAULT false,
    attempt          integer NOT NULL DEFAULT 0,
    epoch            bigint,                -- of the server that runs it
    run_at           timestamptz,           -- not before; null: now
    schedule         double precision,      -- seconds between runs of periodic work
    last_success     timestamptz,
    error            text,                  -- why it waits or died
    queued_at        timestamptz NOT NULL DEFAULT now(),
    claimed_at       timestamptz,
    ended_at         timestamptz
);
CREATE UNIQUE INDEX job_lock ON job (lock) WHERE state = 'running' AND lock IS NOT NULL;
CREATE UNIQUE INDEX job_open ON job (kind, subject) WHERE state IN ('waiting', 'running');
CREATE INDEX job_waiting ON job (pool, queued_at, id) WHERE state = 'waiting';
CREATE INDEX job_running ON job (pool) WHERE state = 'running';
CREATE INDEX job_alarm ON job (run_at) WHERE state = 'waiting' AND run_at IS NOT NULL;
CREATE INDEX job_of_app ON job (app) WHERE state IN ('waiting', 'running');
CREATE INDEX job_ended ON job (ended_at) WHERE state IN ('done', 'dead');

CREATE TABLE turn (                         -- when each tenant's last claim in a pool was: the longest ago is next
    pool       text NOT NULL,
    tenant     uuid NOT NULL,
    claimed_at timestamptz NOT NULL,
    PRIMARY KEY (pool, tenant)
);

CREATE FUNCTION announce_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('stackyn_job', NEW.id || ' ' || NEW.state || CASE WHEN NEW.cancel_requested THEN ' cancel' ELSE '' END);
    RETURN NULL;
END $$;
CREATE TRIGGER job_announced AFTER INSERT OR UPDATE OF state, run_at, cancel_requested ON job
    FOR EACH ROW WHEN (NEW.state = 'waiting' OR NEW.cancel_requested) EXECUTE FUNCTION announce_job();

-- What happened ------------------------------------------------------------------------------------------------

CREATE TABLE event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,               -- noun.verb
    tenant     uuid,
    app        bigint REFERENCES app ON DELETE CASCADE,
    deployment bigint REFERENCES deployment ON DELETE CASCADE,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_of_app ON event (app, id DESC);

CREATE TABLE log_chunk (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app        bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    deployment bigint REFERENCES deployment ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('build', 'runtime')),
    content    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX log_chunk_of_deployment ON log_chunk (deployment, kind, id);
CREATE INDEX log_chunk_of_app ON log_chunk (app, kind, id DESC);

CREATE TABLE sample (
    app            bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    taken_at       timestamptz NOT NULL DEFAULT now(),
    cpu            double precision NOT NULL,  -- cores
    memory_bytes   bigint NOT NULL,
    received_bytes bigint NOT NULL,
    sent_bytes     bigint NOT NULL,
    disk_bytes     bigint NOT NULL,
    PRIMARY KEY (app, taken_at)
);

CREATE TABLE audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor      uuid,
    action     text NOT NULL,
    subject    text NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_newest ON audit (id DESC);
