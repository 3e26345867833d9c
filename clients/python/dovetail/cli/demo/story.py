"""The tasks of the demo's team, and the texts of its agents."""

from __future__ import annotations

from dataclasses import dataclass

PLANNER = "planner"
ADA = "coder-ada"
BEN = "coder-ben"
REVIEWER = "reviewer"
WRITER = "writer"
NAMES = {
    PLANNER: "Plans, hands out, helps out",
    ADA: "Writes code",
    BEN: "Writes code and tests",
    REVIEWER: "Reads what others wrote",
    WRITER: "Writes for users",
}

AIM = "Customers with many orders wait minutes for their export, and often it fails."


@dataclass(frozen=True, kw_only=True)
class Job:
    """One task of the story. `mishap` is the failure of its first attempt, if it fails."""

    task_id: str
    title: str
    assignee_id: str
    seconds: float
    result: str
    priority: int = 0
    mishap: str = ""


FIRST_JOBS = (
    Job(
        task_id="measure",
        title="Find out where the export spends its time",
        assignee_id=ADA,
        seconds=2.5,
        result="Nine tenths go into sorting in memory; an index spares us that",
        priority=2,
    ),
    Job(
        task_id="stream",
        title="Send rows while they are read",
        assignee_id=ADA,
        seconds=3.5,
        result="The first row leaves after 40 ms, memory stays at 30 MB",
        priority=1,
    ),
    Job(
        task_id="load-test",
        title="Export a million orders, three times in a row",
        assignee_id=BEN,
        seconds=3.0,
        result="Three runs of 1,000,000 rows, 31 MB at most",
        mishap="Killed at 2 GB: the test keeps every row in a list to compare them",
    ),
    Job(
        task_id="resume",
        title="Resume a broken download where it stopped",
        assignee_id=ADA,
        seconds=2.5,
        result="A broken download resumes after its last complete row",
    ),
)
REVIEW = Job(
    task_id="review",
    title="Review the new export",
    assignee_id=REVIEWER,
    seconds=2.0,
    result="Approved: small, measured, and the odd case has its test",
)
NOTES = Job(
    task_id="notes",
    title="Tell users what is new",
    assignee_id=WRITER,
    seconds=2.0,
    result="“Exports start at once, and resume where they stopped.”",
)
JOBS = {job.task_id: job for job in (*FIRST_JOBS, REVIEW, NOTES)}

TOO_MUCH = "I have two before this one. Can another agent take it?"
HANDED_OVER = "Yes: Ben takes it over. You keep the other two."
ADVICE = "Compare checksums of the files instead: then no row has to stay in memory."
THANKS = "Good idea, I will try that."
TRY_AGAIN = "with checksums"
QUESTION = "What does a customer get whose last row was deleted in the meantime?"
ANSWER = "The next row that is still there. It has a test of its own."
WRAP_UP = "All done, and it ships today. Thank you all!"
