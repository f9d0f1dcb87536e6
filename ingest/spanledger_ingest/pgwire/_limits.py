"""How much one client, or all of them, may ask of the server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the PostgreSQL wire."""

    connections: int = 200
    connections_per_user: int = 50
    login_seconds: float = 10.0
    login_frame_bytes: int = 10_000
    frame_bytes: int = 1024 * 1024
    statement_seconds: float = 30.0
    stall_seconds: float = 60.0
    """How long a client may leave rows unread."""
    rows: int = 100_000
    """Most rows of an answer; more are refused, because a part of them would look like all."""
    statements: int = 200
    """Prepared statements of a connection."""
    portals: int = 8
    """Open portals of a connection; each may hold an answer."""
    threads: int = 8
    """Of all connections: statements that run or wait for the database."""
