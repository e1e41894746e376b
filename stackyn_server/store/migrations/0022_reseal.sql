-- A numbered release never changes, but for the key that its environment is sealed with (`stackyn keys rotate`, which sets
-- stackyn.reseals in its transaction): what is sealed stays the same.
CREATE OR REPLACE FUNCTION refuse_release_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changeable text[] := '{image_removed_at}';
BEGIN
    IF current_setting('stackyn.reseals', true) = 'on' THEN
        changeable := changeable || 'sealed_environment'::text;
    END IF;
    IF OLD.number IS NOT NULL AND (to_jsonb(OLD) - changeable) <> (to_jsonb(NEW) - changeable) THEN
        RAISE EXCEPTION 'release % is immutable', OLD.id;
    END IF;
    RETURN NEW;
END $$;
