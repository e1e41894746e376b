-- What cleanup asks, in tables that grow: none of its questions reads a whole table (a test looks at their plans).

-- Whether an image is still needed.
CREATE INDEX release_image ON release (image);
CREATE INDEX deployment_image ON deployment (image) WHERE image IS NOT NULL;
CREATE INDEX release_offered ON release (app, image, number) WHERE number IS NOT NULL AND image_removed_at IS NULL;

-- What is older than it is kept.
CREATE INDEX app_torn_down ON app (torn_down_at) WHERE torn_down_at IS NOT NULL;
CREATE INDEX instance_gone ON instance (gone_at) WHERE deployment IS NULL AND state = 'gone';
CREATE INDEX audit_age ON audit (created_at);
CREATE INDEX billing_event_age ON billing_event (received_at);
CREATE INDEX subscription_age ON subscription (updated_at);
CREATE INDEX session_age ON session ((coalesce(ended_at, expires_at)));
CREATE INDEX one_time_code_age ON one_time_code (expires_at);
CREATE INDEX turn_age ON turn (claimed_at);
