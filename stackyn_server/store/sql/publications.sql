-- name: next_number
INSERT INTO publication (epoch, number)
SELECT $1, 1 + coalesce((SELECT max(number) FROM publication WHERE epoch = $1), 0)
FROM (SELECT 1 FROM installation WHERE epoch = $1 FOR KEY SHARE) AS leader
RETURNING number;

-- name: forget
DELETE FROM publication WHERE epoch < $1 OR (epoch = $1 AND number <= $2);
