-- The order of the claim, once: the claim takes the first job by it, and the place of a waiting job is counted by it.
-- Both functions are inlined, so `job_owner` is the index expression of `job_queue`.

CREATE FUNCTION job_owner(tenant uuid) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN coalesce(tenant, '00000000-0000-0000-0000-000000000000'::uuid);

-- The priority, raised by one for each `raise_seconds` that the job has waited. The wait counts from its tenant's last
-- claim (table `turn`): otherwise a tenant with a long old queue would overtake everybody who came later.
CREATE FUNCTION job_class(
    priority integer, since timestamptz, last_claim timestamptz, raise_seconds double precision
) RETURNS double precision LANGUAGE sql STABLE
    RETURN priority + floor(greatest(0, date_part('epoch', now() - greatest(since, last_claim))) / raise_seconds);
