-- A job may end an attempt because other work has to come first. Such an attempt is no failure, so it is counted apart.
-- `after_app_work`: it can be claimed again when its app has no other open job, and nothing asks until then.

ALTER TABLE job
    ADD COLUMN waits          integer NOT NULL DEFAULT 0,
    ADD COLUMN after_app_work boolean NOT NULL DEFAULT false;

-- The place of a job among those of its class, once: the claim takes the first by it, and the place of a waiting job is
-- counted by it. First the tenant whose last claim is longest ago, then age. The function is inlined.
CREATE TYPE job_turn AS (last_claim timestamptz, since timestamptz, id bigint);
CREATE FUNCTION job_turn(last_claim timestamptz, since timestamptz, id bigint) RETURNS job_turn LANGUAGE sql IMMUTABLE
    RETURN ROW(coalesce(last_claim, '-infinity'), since, id)::job_turn;
