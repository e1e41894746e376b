-- Whoever deletes a row asks every table that refers to it; without an index each question reads a whole table.

CREATE INDEX instance_of_app ON instance (app, id DESC);
CREATE INDEX instance_of_deployment ON instance (deployment) WHERE deployment IS NOT NULL;
CREATE INDEX event_of_deployment ON event (deployment) WHERE deployment IS NOT NULL;
CREATE INDEX deployment_of_release ON deployment (release) WHERE release IS NOT NULL;
CREATE INDEX deployment_from_release ON deployment (source_release) WHERE source_release IS NOT NULL;
CREATE INDEX app_current_release ON app (current_release) WHERE current_release IS NOT NULL;
CREATE INDEX route_instance ON route (instance) WHERE instance IS NOT NULL;
CREATE INDEX route_previous ON route (previous) WHERE previous IS NOT NULL;
CREATE INDEX domain_of_app ON domain (app);
