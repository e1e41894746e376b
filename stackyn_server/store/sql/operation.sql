-- What an operator's dashboard shows of the whole installation: counts only, nobody's names.

-- name: app_states
SELECT CASE
           WHEN a.desired <> 'running' THEN 'stopped'
           WHEN r.state = 'held' THEN 'held'
           WHEN i.down_since IS NOT NULL THEN 'down'
           WHEN i.unhealthy_since IS NOT NULL THEN 'unhealthy'
           WHEN r.state = 'serving' THEN 'serving'
           ELSE 'not_live'
       END AS state, count(*) AS apps
FROM app a
LEFT JOIN route r ON r.app = a.id
LEFT JOIN instance i ON i.id = r.instance
WHERE a.desired <> 'deleted'
GROUP BY 1;

-- name: clock
SELECT now() - make_interval(secs => $1::double precision);

-- name: events_between
SELECT name, count(*) AS events FROM event WHERE created_at > $1 AND created_at <= $2 GROUP BY name;
