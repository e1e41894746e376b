-- How many deployments an app has had, for the list of administrators: counted at each insert, not at each look.

ALTER TABLE app ADD COLUMN deployment_count integer NOT NULL DEFAULT 0;
UPDATE app SET deployment_count = (SELECT count(*) FROM deployment WHERE deployment.app = app.id);
