-- Wrong tries of a code count for the network that they come from, so that a stranger's void nothing of the owner's.
-- `network`: an IPv4 address or an IPv6 /64 (domain.client_network).
ALTER TABLE one_time_code DROP COLUMN attempts, ADD COLUMN network text;
ALTER TABLE session ADD COLUMN network text;
CREATE TABLE code_attempt (
    code       bigint NOT NULL REFERENCES one_time_code ON DELETE CASCADE,
    network    text NOT NULL,
    is_strange boolean NOT NULL,            -- neither asked for the code nor was signed in to its account
    attempts   integer NOT NULL DEFAULT 1,
    PRIMARY KEY (code, network)
);
