-- Log text in chunks. Ids are taken from the sequence first, so that an insert whose COMMIT went unanswered can be
-- repeated; one writer makes their order that of their commits.

-- name: reserve_ids
SELECT nextval(pg_get_serial_sequence('log_chunk', 'id')) AS id FROM generate_series(1, $1)

-- name: append
-- Chunks of an app or deployment that is gone meanwhile are left out.
INSERT INTO log_chunk (id, app, deployment, kind, content)
OVERRIDING SYSTEM VALUE
SELECT chunk.id, chunk.app, chunk.deployment, chunk.kind, chunk.content
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
    AS chunk (id, app, deployment, kind, content)
WHERE EXISTS (SELECT 1 FROM app WHERE app.id = chunk.app FOR KEY SHARE)
    AND (chunk.deployment IS NULL
        OR EXISTS (SELECT 1 FROM deployment WHERE deployment.id = chunk.deployment FOR KEY SHARE))
ON CONFLICT (id) DO NOTHING

-- name: append_runtime
INSERT INTO log_chunk (app, deployment, kind, content, stamps)
SELECT $1, $2, 'runtime', chunk.content, chunk.stamps
FROM jsonb_to_recordset($3) AS chunk (content text, stamps jsonb);

-- name: newest_runtime
-- The newest chunks that together reach $3 bytes. Those that were stored without the times of their lines have one time.
SELECT content, coalesce(stamps, (
    SELECT jsonb_agg((extract(epoch FROM created_at) * 1000000)::bigint * 1000 + line)
    FROM generate_series(1, array_length(string_to_array(content, E'\n'), 1) - 1) AS line
)) AS stamps FROM (
    SELECT id, content, stamps, created_at,
        sum(octet_length(content)) OVER (ORDER BY id DESC) - octet_length(content) AS newer_bytes
    FROM log_chunk WHERE kind = 'runtime' AND app = $1 AND ($2::bigint IS NULL OR deployment = $2)
) AS chunk
WHERE newer_bytes < $3
ORDER BY id;

-- name: size
SELECT coalesce(sum(octet_length(content)), 0)::bigint FROM log_chunk WHERE deployment = $1 AND kind = $2

-- name: newest_bytes
-- The newest chunks that together reach $3 bytes, oldest first.
SELECT content FROM (
    SELECT id, content,
        sum(octet_length(content)) OVER (ORDER BY id DESC) - octet_length(content) AS newer_bytes
    FROM log_chunk WHERE deployment = $1 AND kind = $2
) AS chunk
WHERE newer_bytes < $3
ORDER BY id

-- name: chunks_after
SELECT id, content FROM log_chunk WHERE deployment = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4

-- name: has_chunk
SELECT EXISTS (SELECT FROM log_chunk WHERE deployment = $1 AND kind = $2 AND id = $3)

-- name: list_of_app
SELECT id, app, deployment, kind, created_at, content, octet_length(content) AS size
FROM log_chunk WHERE app = $1 AND kind = $2
ORDER BY id DESC LIMIT $3 OFFSET $4

-- name: sizes
-- Only of the logs that have grown since chunk $1: to measure a log, all its chunks are read.
SELECT grown.app, grown.kind, measured.bytes
FROM (SELECT DISTINCT app, kind FROM log_chunk WHERE id > $1) AS grown
CROSS JOIN LATERAL (
    SELECT sum(octet_length(chunk.content))::bigint AS bytes FROM log_chunk AS chunk
    WHERE chunk.app = grown.app AND chunk.kind = grown.kind
) AS measured

-- name: newest_id
SELECT coalesce(max(id), 0) FROM log_chunk

-- name: trim
-- All but the newest chunks that together reach $3 bytes.
DELETE FROM log_chunk WHERE id = ANY (ARRAY(
    SELECT id FROM (
        SELECT id, sum(octet_length(content)) OVER (ORDER BY id DESC) - octet_length(content) AS newer_bytes
        FROM log_chunk WHERE app = $1 AND kind = $2
    ) AS chunk
    WHERE newer_bytes >= $3
))
