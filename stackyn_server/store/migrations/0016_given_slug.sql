-- An app that is being taken down gives its slug to a new app of the same owner at once. `slug_given`: it did. The new
-- app's release waits until the proxy has confirmed that the old route is gone (`route_gone_at`).

ALTER TABLE app
    ADD COLUMN slug_given    boolean NOT NULL DEFAULT false,
    ADD COLUMN route_gone_at timestamptz;

DROP INDEX app_slug;
CREATE UNIQUE INDEX app_slug ON app (slug) WHERE torn_down_at IS NULL AND NOT slug_given;
CREATE INDEX app_giving_slug ON app (slug) WHERE slug_given AND route_gone_at IS NULL;
