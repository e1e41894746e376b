-- What an image was built from, in one word: a later deployment of the app with the same one takes the same image.

ALTER TABLE deployment ADD COLUMN build_key text;
CREATE INDEX deployment_build_key ON deployment (app, build_key) WHERE build_key IS NOT NULL;
