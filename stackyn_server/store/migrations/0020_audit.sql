-- A refused deed is in the audit log as such, and the log can be asked for what somebody did or had done to them.
ALTER TABLE audit ADD COLUMN outcome text NOT NULL DEFAULT 'done' CHECK (outcome IN ('done', 'refused'));
CREATE INDEX audit_of_actor ON audit (actor, id DESC);
CREATE INDEX audit_of_subject ON audit (subject, id DESC);
CREATE INDEX audit_of_action ON audit (action, id DESC);
