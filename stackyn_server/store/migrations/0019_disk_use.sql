-- What an account occupies of the disk, as cleanup measures it each time: nothing adds it up in a request.

ALTER TABLE deployment
    ADD COLUMN image_bytes bigint;  -- the image's own layers, without those of base images; null: not built by this one

CREATE TABLE log_size (             -- of the stored log of a kind, when it had last grown
    app   bigint NOT NULL REFERENCES app ON DELETE CASCADE,
    kind  text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (app, kind)
);

CREATE TABLE disk_use (
    account      uuid PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    apps_bytes   bigint NOT NULL,   -- written by containers that serve
    images_bytes bigint NOT NULL,   -- own layers of the images of releases
    caches_bytes bigint NOT NULL,   -- of builds
    logs_bytes   bigint NOT NULL,
    measured_at  timestamptz NOT NULL DEFAULT now()
);
