"""The lock by which the sessions of servers are noticed on PostgreSQL, and kept out.

Every server shares it, on the connection on which it listens, from before it looks for an
unfinished move until it ends. Whoever moves rows takes it for itself: that fails while a server
runs, and no server starts meanwhile. The database frees it with the session, however that ends.

Where it would break: a server whose one connection was cut off shares the lock again only when it
has reconnected, after half a second. A move that begins in this moment does not see it.
"""

from __future__ import annotations

PRESENCE_LOCK = 0x0D0E7A12

BE_PRESENT = f"SELECT pg_try_advisory_lock_shared({PRESENCE_LOCK})"
BE_ALONE = f"SELECT pg_try_advisory_lock({PRESENCE_LOCK})"
BE_ALONE_NO_MORE = f"SELECT pg_advisory_unlock({PRESENCE_LOCK})"

# Looks only: to try the lock could refuse a server that starts in this moment.
IS_ANYBODY_THERE = f"""
    SELECT EXISTS (
        SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND datname = current_database()
            AND classid = 0 AND objid = {PRESENCE_LOCK} AND objsubid = 1
            AND granted AND mode = 'ShareLock' AND pid <> pg_backend_pid()
    )"""
