"""The statements of the outbox; its tables are in :mod:`spanledger_alerts.delivery_tables`."""

from typing import Final

ENQUEUE: Final = """
    INSERT INTO outbox (id, receiver, lane, owner, status, state, payload, created_ns, since_ns, due_ns, finished_ns,
        detail, subject)
    SELECT ?1, ?2, ?3, ?4, ?5,
        CASE WHEN ?6 <> 'pending' THEN ?6
             WHEN EXISTS (SELECT 1 FROM outbox WHERE receiver = ?2 AND lane = ?3 AND state IN ('pending', 'queued'))
             THEN 'queued' ELSE 'pending' END,
        ?7, ?8, ?9, ?9, CASE WHEN ?6 = 'pending' THEN NULL ELSE ?9 END, ?10, ?11
    WHERE true ON CONFLICT (id) DO NOTHING
"""
"""Values: id, receiver, lane, owner, status, state, payload, created_ns, now, detail, subject."""

DUE: Final = """
    SELECT * FROM outbox WHERE receiver = ? AND state = 'pending' AND due_ns <= ? ORDER BY due_ns, seq LIMIT ?
"""
NEXT_DUE: Final = "SELECT min(due_ns) FROM outbox WHERE receiver = ? AND state = 'pending' AND due_ns > ?"

FIRST_RESOLVED: Final = """
    SELECT seq, id FROM outbox WHERE receiver = ?1 AND lane = ?2 AND subject = ?3 AND state = 'queued'
        AND status = 'resolved' AND replayed = 0 AND seq > ?4 ORDER BY seq LIMIT 1
"""
COLLAPSE: Final = """
    UPDATE outbox SET state = 'collapsed', finished_ns = ?6, detail = ?7
    WHERE receiver = ?1 AND lane = ?2 AND subject = ?3 AND seq >= ?4 AND seq < ?5 AND state IN ('pending', 'queued')
"""
COLLAPSED_INTO: Final = "UPDATE outbox SET collapsed = 1 WHERE seq = ?"

FINISH: Final = """
    UPDATE outbox SET state = ?2, finished_ns = ?3, attempts = attempts + ?4, http_status = ?5, detail = ?6
    WHERE seq = ?1
"""
"""Values: seq, state, now, attempts more, status, detail."""
POSTPONE: Final = """
    UPDATE outbox SET due_ns = ?2, held = ?3, attempts = attempts + 1, failures = failures + 1, http_status = ?4,
        detail = ?5 WHERE seq = ?1
"""
PROMOTE: Final = """
    UPDATE outbox SET state = 'pending', due_ns = ?3 WHERE seq = (
        SELECT min(seq) FROM outbox WHERE receiver = ?1 AND lane = ?2 AND state IN ('pending', 'queued')
    ) AND NOT EXISTS (SELECT 1 FROM outbox WHERE receiver = ?1 AND lane = ?2 AND state = 'pending')
"""
"""Values: receiver, lane, now."""
HURRY: Final = """
    UPDATE outbox SET due_ns = ?2 WHERE receiver = ?1 AND state = 'pending' AND due_ns > ?2 AND held = 0
"""

OVERDUE: Final = """
    SELECT * FROM outbox WHERE receiver = ? AND state IN ('pending', 'queued') AND since_ns <= ? ORDER BY seq
"""
REPLAY: Final = """
    UPDATE outbox SET state = 'queued', since_ns = ?2, due_ns = ?2, held = 0, failures = 0, replayed = 1,
        finished_ns = NULL WHERE seq = ?1 AND state NOT IN ('pending', 'queued')
"""
FIND: Final = "SELECT * FROM outbox WHERE id = ?"
LIST: Final = """
    SELECT * FROM outbox WHERE seq < ?1 AND (?2 IS NULL OR owner = ?2) AND (?3 IS NULL OR receiver = ?3)
        AND (?4 IS NULL OR state = ?4) ORDER BY seq DESC LIMIT ?5
"""
"""Values: seq, owner, receiver, state, limit."""

ATTEMPTED: Final = """
    INSERT INTO delivery_attempts (id, attempt, receiver, time_ns, ok, http_status, detail, alerts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
ATTEMPTS: Final = """
    SELECT seq, id, attempt, receiver, time_ns, ok, http_status, detail, alerts FROM delivery_attempts
    WHERE seq > ? ORDER BY seq LIMIT ?
"""
MARK: Final = "SELECT seq FROM delivery_marks WHERE name = ?"
SET_MARK: Final = "INSERT INTO delivery_marks VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET seq = ?2"

RECEIVER: Final = "SELECT place, disabled_ns, failing_since_ns FROM delivery_receivers WHERE name = ?"
SET_RECEIVER: Final = """
    INSERT INTO delivery_receivers (name, place, disabled_ns, failing_since_ns) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (name) DO UPDATE SET place = ?2, disabled_ns = ?3, failing_since_ns = ?4
"""

COUNTS: Final = """
    SELECT receiver, count(*), min(created_ns) FROM outbox WHERE state IN ('pending', 'queued') GROUP BY receiver
"""
FORGET: Final = "DELETE FROM outbox WHERE finished_ns < ?"
FORGET_ATTEMPTS: Final = """
    DELETE FROM delivery_attempts WHERE time_ns < ?1
        AND seq <= (SELECT coalesce(max(seq), 0) FROM delivery_marks WHERE name = 'deliveries')
"""
