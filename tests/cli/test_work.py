"""`dovetail task` and `dovetail report`."""

from __future__ import annotations

import pytest

from cli.shell import Shell


def test_a_task_is_created_and_its_assignee_told(shell: Shell):
    printed = shell.says(
        *("task", "create", "--as", "alice", "Build it", "--id", "build", "--assignee", "bob"),
        *("--description", "first\nthen", "--priority", "3", "--label", "a=b"),
        *("--due", "2030-01-02T03:04:05+00:00", "--input", '{"n": 1}'),
    )
    for part in ("build  pending  Build it", "first\n", "bob", "alice", "a=b", "2030-01-0"):
        assert part in printed
    task = shell.json("task", "show", "build")[0]
    assert (task["due_time"], task["input"]) == ("2030-01-02T03:04:05Z", {"n": 1.0})
    assert "Task build assigned to bob" in shell.says("inbox", "--as", "bob")


def test_a_quiet_change_tells_nobody(shell: Shell):
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob", "--quiet")
    assert shell.json("inbox", "--as", "bob") == []


def test_a_repeated_request_id_makes_one_task(shell: Shell):
    words = ("task", "create", "--as", "alice", "x", "--request-id", "r")
    assert shell.json(*words) == shell.json(*words)
    assert len(shell.json("task", "list")) == 1


@pytest.mark.parametrize(
    ("words", "state", "says"),
    [
        (("complete", "t1", "All green", "--data", '{"n": 1}'), "COMPLETED", "All green"),
        (("fail", "t1", "No disk", "--data", '{"n": 1}'), "FAILED", "No disk"),
        (("cancel", "t1", "Not needed"), "CANCELLED", "Not needed"),
    ],
)
def test_a_task_is_started_ended_and_reopened(
    shell: Shell, words: tuple[str, ...], state: str, says: str
):
    shell.says("task", "create", "--as", "alice", "x")
    assert "in progress" in shell.says("task", "start", "--as", "bob", "t1")
    assert says in shell.says("task", *words, "--as", "bob")
    task = shell.json("task", "show", "t1")[0]
    assert (task["state"], task["assignee_id"]) == (f"TASK_STATE_{state}", "bob")
    assert says in shell.says("inbox", "--as", "alice")
    assert "t1  pending" in shell.says("task", "reopen", "--as", "bob", "t1", "again")
    assert "Reason: again" in shell.says("inbox", "--as", "alice")


def test_a_task_changes_hands(shell: Shell):
    shell.says("task", "create", "x")
    assert shell.json("task", "assign", "t1", "alice")[0]["assignee_id"] == "alice"
    shell.says("task", "start", "--as", "alice", "t1")
    assert shell.fails("task", "assign", "t1", "bob")[0] == 4
    assert "bob" in shell.says("task", "assign", "t1", "bob", "--force")
    assert shell.json("task", "unassign", "t1")[0]["assignee_id"] == ""


def test_a_task_is_updated_where_it_is_asked_to_be(shell: Shell):
    task = shell.json("task", "create", "old", "--description", "stays")[0]
    words = ("--title", "new", "--priority", "2", "--label", "a=b", "--due", "2030-01-02")
    printed = shell.says("task", "update", "t1", *words, "--etag", task["etag"])
    for part in ("new", "stays", "a=b", "2030-01-02 00:00:00"):
        assert part in printed
    code, line = shell.fails("task", "update", "t1", "--title", "x", "--etag", task["etag"])
    assert code == 4
    assert "[ETAG_MISMATCH]. Read it again: dovetail task show" in line
    assert shell.run("task", "update", "t1").exit_code == 2


def test_a_deleted_task_is_gone_and_its_id_stays_taken(shell: Shell):
    shell.says("task", "create", "x", "--id", "mine")
    assert "deleted mine" in shell.says("task", "delete", "mine")
    code, line = shell.fails("task", "show", "mine")
    assert (code, "[TASK_NOT_FOUND]" in line) == (3, True)
    code, line = shell.fails("task", "create", "x", "--id", "mine")
    assert (code, "[TASK_EXISTS]" in line) == (4, True)


def test_tasks_are_listed_by_what_they_are(shell: Shell):
    shell.says("task", "create", "--as", "alice", "one", "--assignee", "bob", "--label", "a=b")
    shell.says("task", "create", "--as", "bob", "two [bold]\x1b[2J")
    shell.says("task", "start", "--as", "bob", "t1")

    def found(*words: str) -> list[str]:
        return [task["task_id"] for task in shell.json("task", "list", *words)]

    assert found() == ["t1", "t2"]
    assert found("--newest", "--limit", "1") == ["t2"]
    assert found("--state", "in-progress") == ["t1"]
    assert found("--state", "pending", "--state", "in-progress") == ["t1", "t2"]
    assert found("--assignee", "bob") == ["t1"]
    assert found("--unassigned") == ["t2"]
    assert found("--creator", "bob") == ["t2"]
    assert found("--label", "a=b") == ["t1"]
    assert "no tasks" in shell.says("task", "list", "--state", "failed")
    assert r"two [bold]\u001b[2J" in shell.says("task", "list")


def test_a_report_counts_times_and_shows_workload(shell: Shell):
    for number in (1, 2, 3):
        shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob")
        if number < 3:
            shell.says("task", "start", "--as", "bob", f"t{number}")
    shell.says("task", "complete", "--as", "bob", "t1")
    shell.says("task", "create", "--as", "alice", "x", "--label", "a=b")

    report = shell.json("report", "--bucket", "1h")[0]
    assert (report["total_tasks"], report["completed_tasks"]) == ("4", "1")
    assert [row["completed_tasks"] for row in report["completions"]] == ["1"]
    printed = shell.says("report", "--bucket", "1d")
    assert "4 tasks   2 pending   1 in progress   1 completed   0 failed" in printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    assert rows["start"][:4] == ["start", "to", "end", "1"]
    bars = [line.split() for line in printed.splitlines() if "█" in line]
    assert [bar[0] for bar in bars[:2]] == ["(unassigned)", "bob"]
    assert bars[1][2:] == ["3", "2", "1", "1", "0", "0"]
    assert shell.json("report", "--label", "a=b")[0]["total_tasks"] == "1"
    assert (
        shell.json("report", "--assignee", "bob", "--state", "completed")[0]["total_tasks"] == "1"
    )


def test_a_report_of_nothing_is_a_report(shell: Shell):
    assert "0 tasks   0 pending" in shell.says("report")


def test_failures_say_what_is_wrong_and_what_to_do(shell: Shell):
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob")
    code, line = shell.fails("task", "complete", "--as", "bob", "t1")
    assert code == 4
    assert "it is PENDING" in line
    assert "[TASK_STATE]. See how it stands: dovetail task show" in line
    code, line = shell.fails("task", "start", "--as", "alice", "t1")
    assert (code, "[ASSIGNED_TO_ANOTHER]" in line) == (4, True)
    assert shell.fails("task", "create", "x", "--assignee", "nobody")[0] == 3
    code, line = shell.fails("task", "create", "")
    assert (code, "title: must have 1 to 512 characters" in line) == (5, True)
    assert shell.fails("task", "fail", "t1", "")[0] == 5
    code, line = shell.fails("report", "--bucket", "400d")
    assert (code, "bucket" in line) == (5, True)
    for verb in ("show", "delete", "unassign", "start", "complete", "cancel", "reopen"):
        assert shell.fails("task", verb, "t99")[0] == 3


@pytest.mark.parametrize(
    "words",
    [
        ("task", "create"),
        ("task", "create", "x", "--due", "tomorrow"),
        ("task", "list", "--state", "done"),
        ("report", "--bucket", "soon"),
        ("report", "--bucket", "9" * 30 + "w"),
    ],
)
def test_a_wrong_command_line_is_explained(shell: Shell, words: tuple[str, ...]):
    done = shell.run(*words)
    assert (done.exit_code, done.out) == (2, "")
    assert "Error: " in done.error
