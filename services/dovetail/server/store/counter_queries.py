"""Queries of the doctor: which rows have counters that do not agree with what they count."""

from __future__ import annotations

NAMED_MAX = 3

TEAMS = "SELECT team_id FROM teams ORDER BY team_id"
COUNTERS = {
    "inbox counters": f"""
        SELECT a.team_id, a.agent_id FROM agents a LEFT JOIN (
            SELECT team_id, agent_id, MAX(sequence) AS last_sequence,
                COUNT(*) AS deliveries, COUNT(acknowledge_time) AS closed,
                COUNT(acknowledge_time) - COUNT(ending) AS acknowledged,
                SUM(CASE WHEN acknowledge_time IS NULL AND size > 0 THEN 1 ELSE 0 END) AS mail,
                SUM(CASE WHEN acknowledge_time IS NULL THEN size ELSE 0 END) AS bytes
            FROM deliveries GROUP BY team_id, agent_id
        ) d ON d.team_id = a.team_id AND d.agent_id = a.agent_id
        WHERE a.last_sequence < COALESCE(d.last_sequence, 0)
            OR a.last_sequence <> COALESCE(d.deliveries, 0) + a.removed_count
            OR a.acknowledged_count <> COALESCE(d.acknowledged, 0) + a.removed_acknowledged_count
            OR a.unacknowledged_count <> COALESCE(d.deliveries - d.closed, 0)
            OR a.mail_count <> COALESCE(d.mail, 0)
            OR a.mail_bytes <> COALESCE(d.bytes, 0)
        LIMIT {NAMED_MAX + 1}""",
    "team counters": f"""
        SELECT t.team_id FROM teams t
        WHERE t.last_message <
                COALESCE((SELECT MAX(number) FROM messages m WHERE m.team_id = t.team_id), 0)
            OR t.last_task <
                COALESCE((SELECT MAX(number) FROM tasks k WHERE k.team_id = t.team_id), 0)
            OR t.last_event <
                COALESCE((SELECT MAX(number) FROM task_events e WHERE e.team_id = t.team_id), 0)
        LIMIT {NAMED_MAX + 1}""",
    "message counters": f"""
        SELECT t.team_id FROM teams t LEFT JOIN (
            SELECT team_id, COUNT(*) AS messages,
                SUM(CASE WHEN kind = 1 THEN 1 ELSE 0 END) AS mail,
                SUM(CASE WHEN kind = 1 THEN size ELSE 0 END) AS mail_bytes,
                SUM(CASE WHEN kind = 2 THEN size ELSE 0 END) AS notice_bytes
            FROM messages GROUP BY team_id
        ) m ON m.team_id = t.team_id LEFT JOIN (
            SELECT team_id, SUM(size) AS bytes FROM message_attachments
            WHERE url = '' GROUP BY team_id
        ) f ON f.team_id = t.team_id
        WHERE t.message_count <> COALESCE(m.mail, 0)
            OR t.message_bytes <> COALESCE(m.mail_bytes, 0) + COALESCE(f.bytes, 0)
            OR t.notice_count <> COALESCE(m.messages - m.mail, 0)
            OR t.notice_bytes <> COALESCE(m.notice_bytes, 0)
            OR t.last_message <> COALESCE(m.messages, 0) + t.removed_message_count
        LIMIT {NAMED_MAX + 1}""",
    "attachments": f"""
        SELECT team_id, 'm' || CAST(message_number AS TEXT) AS place FROM message_attachments
        WHERE url = '' AND size <> COALESCE(LENGTH(data), -1)
        UNION ALL
        SELECT team_id, task_id FROM task_attachments
        WHERE url = '' AND size <> COALESCE(LENGTH(data), -1)
        UNION ALL
        SELECT t.team_id, t.task_id FROM tasks t
        WHERE t.input_attachments <> '' AND t.delete_time IS NULL AND NOT EXISTS (
            SELECT 1 FROM task_attachments a
            WHERE a.team_id = t.team_id AND a.task_id = t.task_id AND a.start_event = 0
        )
        UNION ALL
        SELECT t.team_id, t.task_id FROM tasks t
        WHERE t.outcome_attachments <> '' AND t.delete_time IS NULL AND NOT EXISTS (
            SELECT 1 FROM task_attachments a
            WHERE a.team_id = t.team_id AND a.task_id = t.task_id
                AND a.start_event = t.start_event
        )
        LIMIT {NAMED_MAX + 1}""",
}
"""Queries that name the rows whose counters are wrong. What was removed counts, so all agree.

Of attachments they name those whose bytes are not as many as is said of them, or not there.
"""
