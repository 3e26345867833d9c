"""Which releases of grpcio refuse a request that is too large before they have received it.

Others hold all that a caller sends of one message, up to 4 GiB, and compare it with the limit when
it is complete. The length precedes the message, and sound releases refuse it there.
"""

from __future__ import annotations

import re

FIRST_SOUND = (1, 82, 2)
UNSOUND_SINCE = ((1, 83, 0),)


def is_sound(version: str) -> bool:
    """Whether this release of grpcio refuses a message by its announced length."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    parts = tuple(map(int, found.groups())) if found else FIRST_SOUND
    return parts >= FIRST_SOUND and parts not in UNSOUND_SINCE
