-- name: read
-- The state that the decisions of deployment $1's rollout use. `routed` is the instance that the route leads to,
-- `previous` the one before it; `own` is the deployment's release, `source` the one that a rollback restores.
SELECT a.*, coalesce(account.plan, '') AS account_plan, coalesce(r.state, 'withdrawn') AS route,
       coalesce((SELECT array_agg(host ORDER BY host) FROM domain WHERE domain.app = a.id AND domain.state = 'active'),
                '{}') AS custom_hosts,
       routed.id AS routed_id, routed.slot AS routed_slot, routed.state AS routed_state,
       routed.deployment AS routed_deployment, routed_release.port AS routed_port,
       routed_release.memory_mb AS routed_memory_mb,
       previous.id AS previous_id, previous.slot AS previous_slot, previous.state AS previous_state,
       previous.deployment AS previous_deployment, previous_release.port AS previous_port,
       previous_release.memory_mb AS previous_memory_mb,
       current.port AS current_port, current.told_port AS current_told_port,
       coalesce(own.memory_mb, source.memory_mb) AS release_memory_mb,
       EXISTS (SELECT FROM deployment newer WHERE newer.app = a.id AND newer.id > d.id
               AND newer.phase IN ('live', 'replaced', 'stopped') AND newer.live_at IS NOT NULL) AS is_superseded
FROM deployment d
JOIN app a ON a.id = d.app
LEFT JOIN account ON account.id = a.tenant AND account.deleted_at IS NULL
LEFT JOIN route r ON r.app = a.id
LEFT JOIN instance routed ON routed.id = r.instance
LEFT JOIN release routed_release ON routed_release.id = routed.release
LEFT JOIN instance previous ON previous.id = r.previous
LEFT JOIN release previous_release ON previous_release.id = previous.release
LEFT JOIN release current ON current.id = a.current_release
LEFT JOIN release own ON own.deployment = d.id
LEFT JOIN release source ON source.id = d.source_release AND d.cause = 'rollback'
WHERE d.id = $1;
