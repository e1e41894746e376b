-- What apps use: fine rows for a while, then one row for each step in their place.

-- name: record
-- Those of an app that is gone meanwhile are left out.
INSERT INTO sample (app, instance, cpu, memory_bytes, received_bytes, sent_bytes, disk_bytes)
SELECT s.app, s.instance, s.cpu, s.memory_bytes, s.received_bytes, s.sent_bytes, s.disk_bytes
FROM unnest($1::bigint[], $2::bigint[], $3::double precision[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS s (app, instance, cpu, memory_bytes, received_bytes, sent_bytes, disk_bytes)
WHERE EXISTS (SELECT FROM app WHERE app.id = s.app FOR KEY SHARE)
ON CONFLICT (app, taken_at) DO NOTHING;

-- name: series
-- One row for each step of $3 seconds that has samples, of the last $2 seconds.
SELECT to_timestamp(floor(extract(epoch FROM taken_at) / $3) * $3) AS at,
       avg(cpu) AS cpu, max(memory_bytes) AS memory_bytes,
       sum(received_bytes)::bigint AS received_bytes, sum(sent_bytes)::bigint AS sent_bytes,
       max(disk_bytes) AS disk_bytes
FROM sample
WHERE app = $1 AND taken_at > now() - make_interval(secs => $2::double precision)
GROUP BY 1 ORDER BY 1;

-- name: condense
-- One row for each step of $2 seconds in place of the fine rows older than $1 seconds, the oldest $3 of them.
WITH fine AS (
    DELETE FROM sample WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM sample
        WHERE NOT coarse AND taken_at < to_timestamp(
            floor(extract(epoch FROM now() - make_interval(secs => $1::double precision)) / $2::float8) * $2::float8)
        ORDER BY taken_at LIMIT $3
    ))
    RETURNING *
), condensed AS (
    INSERT INTO sample (app, taken_at, coarse, cpu, memory_bytes, received_bytes, sent_bytes, disk_bytes)
    SELECT app, to_timestamp(floor(extract(epoch FROM taken_at) / $2::float8) * $2::float8), true,
           avg(cpu), max(memory_bytes), sum(received_bytes)::bigint, sum(sent_bytes)::bigint, max(disk_bytes)
    FROM fine GROUP BY 1, 2
    ON CONFLICT (app, taken_at) DO UPDATE SET
        cpu = (coalesce(sample.cpu, excluded.cpu) + coalesce(excluded.cpu, sample.cpu)) / 2,
        memory_bytes = greatest(sample.memory_bytes, excluded.memory_bytes),
        received_bytes = coalesce(sample.received_bytes, 0) + coalesce(excluded.received_bytes, 0),
        sent_bytes = coalesce(sample.sent_bytes, 0) + coalesce(excluded.sent_bytes, 0),
        disk_bytes = greatest(sample.disk_bytes, excluded.disk_bytes)
)
SELECT count(*)::integer FROM fine;

-- name: purge
DELETE FROM sample WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM sample WHERE coarse AND taken_at < now() - make_interval(days => $1)
    ORDER BY taken_at LIMIT $2
));
