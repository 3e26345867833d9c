"""A program: migrates each store whose URL it reads from its input, and says so."""

from __future__ import annotations

import sys

from dovetail.server.store.engines.opening import open_engine

for line in sys.stdin:
    engine = open_engine(line.strip())
    engine.migrate()
    engine.close_connection()
    engine.close()
    print("migrated", flush=True)
