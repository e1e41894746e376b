-- Where a release is reached may be another port than the one that its containers find in PORT; and it may speak HTTP/2.

ALTER TABLE release
    ADD COLUMN told_port integer CHECK (told_port BETWEEN 1 AND 65535),  -- PORT of its containers; null: port
    ADD COLUMN protocol text NOT NULL DEFAULT 'http' CHECK (protocol IN ('http', 'h2c'));
