"""A task of the model, and what can be done to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.tables import ENDED, FAILED, IN_PROGRESS, INPUT_REQUIRED, PENDING

NEW_TOKEN = "to be learned"
LEASE_LOST = "the holder's lease was lost: for its whole duration there was no heartbeat"


class RefusedError(Exception):
    """A refusal, by its reason."""


def require(holds: bool, reason: str) -> None:
    """Refuse for this reason unless the condition holds."""
    if not holds:
        raise RefusedError(reason)


@dataclass
class Task:
    """A task as it is now. `token` is that of its lease, `asked_id` who was asked last."""

    task_id: str
    title: str
    creator_id: str
    assignee_id: str
    priority: int
    depends_on: tuple[str, ...] = ()
    max_attempts: int = 5
    state: int = PENDING
    attempt: int = 0
    failed_attempts: int = 0
    pooled: bool = False
    leased: bool = False
    progress: int | None = None
    asked_id: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    chosen: str = ""
    outcome: str = ""
    last_failure: str = ""
    waiting_for_count: int = 0
    token: str = ""
    version: int = 0
    etag: str = ""
    deleted: bool = False
    former: dict[str, str] = field(default_factory=dict[str, str])
    """Whose the tokens are of attempts that others ended, and that have no late result yet."""

    def start(self, agent_id: str, leased: bool) -> None:
        """Have somebody begin."""
        require(self.state == PENDING, "TASK_STATE")
        require(not agent_id or self.assignee_id in ("", agent_id), "ASSIGNED_TO_ANOTHER")
        require(not self.waiting_for_count, "TASK_NOT_READY")
        self.pooled = (self.pooled or not self.assignee_id) and bool(self.assignee_id or agent_id)
        self.assignee_id = self.assignee_id or agent_id
        self.state, self.progress = IN_PROGRESS, None
        self.attempt += 1
        self.leased, self.token = leased, NEW_TOKEN if leased else ""

    def part(self) -> None:
        """Note that another caller than its holder is about to end the attempt."""
        if self.token:
            self.former[self.token] = self.assignee_id

    def wait(self) -> None:
        """Have it wait again: where it came from."""
        self.state, self.leased, self.token = PENDING, False, ""
        if self.pooled:
            self.assign("")

    def assign(self, agent_id: str) -> None:
        """Give it to somebody, or to nobody."""
        self.assignee_id, self.pooled = agent_id, False

    def end(self, state: int, outcome: str) -> None:
        """Have it over."""
        self.state, self.outcome, self.leased, self.token = state, outcome, False, ""

    def fail(self, outcome: str, retryable: bool) -> None:
        """One attempt less; the last one ends it."""
        self.failed_attempts += retryable
        if retryable and self.state == IN_PROGRESS and self.failed_attempts < self.max_attempts:
            self.wait()
            self.last_failure = outcome
        else:
            self.end(FAILED, outcome)

    def reopen(self) -> None:
        """Have it wait as if it had never been begun."""
        require(self.state in ENDED, "TASK_STATE")
        self.wait()
        self.attempt = self.failed_attempts = 0
        self.outcome, self.last_failure, self.progress = "", "", None

    def ask(self, agent_id: str, options: tuple[str, ...]) -> None:
        """Have it wait for an answer."""
        self.state, self.asked_id, self.options = INPUT_REQUIRED, agent_id, options
        self.answer = self.chosen = ""

    def go_on(self, answer: str, chosen: str) -> None:
        """Have it worked on with an answer."""
        require(self.state == INPUT_REQUIRED, "TASK_STATE")
        require(chosen in ("", *self.options), "INVALID_FIELDS")
        self.state, self.answer, self.chosen = IN_PROGRESS, answer, chosen

    def check_lease(self, token: str) -> None:
        """Refuse what is the holder's alone."""
        require(token in ("", self.token), "LEASE_LOST")
        require(bool(token) or not self.token, "LEASE_TOKEN_REQUIRED")
