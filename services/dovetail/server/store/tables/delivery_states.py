"""The life of a delivery: one table, which the code, the docs and the tests read."""

from __future__ import annotations

from enum import Enum, IntEnum


class DeliveryState(IntEnum):
    """The furthest that is known of a delivery. The numbers are those of the contract."""

    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2
    REJECTED = 3
    EXPIRED = 4
    WITHDRAWN = 5
    SENT = 10
    SEEN = 11


class DeliveryAct(Enum):
    """What can happen to a delivery."""

    HAND_OUT = "hand out"
    SEE = "see"
    ACKNOWLEDGE = "acknowledge"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"


_NEW, _SENT, _SEEN = DeliveryState.UNACKNOWLEDGED, DeliveryState.SENT, DeliveryState.SEEN
OPEN_STATES = (_NEW, _SENT, _SEEN)
"""The recipient is not done with it. All other states are ends, and stay."""

_ENDED = {state: state for state in DeliveryState if state not in OPEN_STATES}


def _ending(state: DeliveryState, *refused: DeliveryState) -> dict[DeliveryState, DeliveryState]:
    """An act that ends what is open, and leaves what has ended; but from some it is refused."""
    kept = {each: each for each in _ENDED if each not in refused}
    return dict.fromkeys(OPEN_STATES, state) | kept


TRANSITIONS: dict[DeliveryAct, dict[DeliveryState, DeliveryState]] = {
    DeliveryAct.HAND_OUT: {_NEW: _SENT, _SENT: _SENT, _SEEN: _SEEN, **_ENDED},
    DeliveryAct.SEE: {_NEW: _SEEN, _SENT: _SEEN, _SEEN: _SEEN, **_ENDED},
    DeliveryAct.ACKNOWLEDGE: _ending(DeliveryState.ACKNOWLEDGED),
    # The sender may rely on an acknowledgement: it must not hear the contrary later.
    DeliveryAct.REJECT: _ending(DeliveryState.REJECTED, DeliveryState.ACKNOWLEDGED),
    DeliveryAct.WITHDRAW: _ending(DeliveryState.WITHDRAWN),
    DeliveryAct.EXPIRE: _ending(DeliveryState.EXPIRED),
}
"""Where each act leads from each state; from one that is missing it is refused."""


def next_state(act: DeliveryAct, state: DeliveryState) -> DeliveryState | None:
    """Where an act leads; None: it is refused."""
    return TRANSITIONS[act].get(state)
