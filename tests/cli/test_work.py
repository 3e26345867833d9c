"""`dovetail task` and `dovetail report`."""

from __future__ import annotations

import json
import subprocess

import pytest

from cli.shell import PROGRAM, Shell


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
    assert (task["state"], task["assignee_id"]) == (state.lower(), "bob")
    assert says in shell.says("inbox", "--as", "alice")
    assert "t1  pending" in shell.says("task", "reopen", "--as", "bob", "t1", "again")
    assert "Reason: again" in shell.says("inbox", "--as", "alice")


def test_a_task_changes_hands(shell: Shell):
    shell.says("task", "create", "x")
    assert shell.json("task", "assign", "t1", "alice")[0]["assignee_id"] == "alice"
    shell.says("task", "start", "--as", "alice", "t1")
    assert shell.fails("task", "assign", "t1", "bob")[0] == 4
    assert "bob" in shell.says("task", "assign", "t1", "bob", "--force")
    assert "assignee_id" not in shell.json("task", "unassign", "t1")[0]


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
    newest = shell.run("task", "list", "--newest", "--limit", "1", "--json")
    assert [task["task_id"] for task in json.loads(newest.out)] == ["t2"]
    assert json.loads(newest.error)["more"]["shown"] == 1
    assert found("--state", "in-progress") == ["t1"]
    assert found("--state", "pending", "--state", "in_progress") == ["t1", "t2"]
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
    assert (report["total_tasks"], report["completed_tasks"]) == (4, 1)
    assert [row["completed_tasks"] for row in report["completions"]] == [1]
    printed = shell.says("report", "--bucket", "1d")
    assert (
        "4 tasks   2 pending   1 in progress   0 input required   1 completed   0 failed" in printed
    )
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    assert rows["start"][:4] == ["start", "to", "end", "1"]
    bars = [line.split() for line in printed.splitlines() if set("█░") & set(line)]
    assert [bar[0] for bar in bars[:2]] == ["(unassigned)", "bob"]
    assert bars[1][2:] == ["3", "2", "1", "1", "0", "0", "0"]
    assert "median and p95 within 1 %; exact with a filter" in printed
    assert "messages, " in printed
    assert "within 1 %" not in shell.says("report", "--label", "a=b")
    assert shell.json("report", "--label", "a=b")[0]["total_tasks"] == 1
    assert shell.json("report", "--assignee", "bob", "--state", "completed")[0]["total_tasks"] == 1


def test_a_report_of_nothing_is_a_report(shell: Shell):
    assert "0 tasks   0 pending" in shell.says("report")


def test_failures_say_what_is_wrong_and_what_to_do(shell: Shell):
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob")
    code, line = shell.fails("task", "complete", "--as", "bob", "t1")
    assert code == 4
    assert "it is pending [TASK_STATE]. Possible now: dovetail task update, " in line
    code, line = shell.fails("task", "start", "--as", "alice", "t1")
    assert (code, "[ASSIGNED_TO_ANOTHER]" in line) == (4, True)
    assert shell.fails("task", "create", "x", "--assignee", "nobody")[0] == 3
    code, line = shell.fails("task", "create", "")
    assert (code, "TITLE: must have 1 to 512 characters" in line) == (5, True)
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
    assert done.error.startswith("dovetail: ")


def claimed(shell: Shell, *words: str) -> tuple[str, str]:
    """What bob claims: a task and the token of its lease."""
    (made,) = shell.json("task", "claim", "--as", "bob", *words)
    return made["task"]["task_id"], made["lease_token"]


def test_what_is_ready_is_claimed_kept_and_completed(shell: Shell):
    shell.says("task", "create", "--as", "alice", "low")
    shell.says("task", "create", "--as", "alice", "high", "--priority", "5", "--label", "a=b")
    printed = shell.says("task", "claim", "--as", "bob", "--lease", "30s")
    for part in ("t2  in progress  high", "bob", "30.0 s, until", "dovetail task heartbeat t2"):
        assert part in printed
    token = printed.partition("DOVETAIL_LEASE_TOKEN=")[2].split()[0]
    code, line = shell.fails("task", "complete", "--as", "bob", "t2")
    assert (code, "[LEASE_TOKEN_REQUIRED]. Its holder adds --lease-token" in line) == (4, True)
    holder = ("t2", "--as", "bob", "--lease-token", token)
    told = shell.says("task", "heartbeat", *holder, "--percent", "40", "--note", "half of it")
    assert "in progress, the lease lasts until" in told
    assert "40 % half of it" in shell.says("task", "show", "t2")
    assert "completed" in shell.says("task", "complete", *holder, "Done")
    code, line = shell.fails("task", "heartbeat", *holder)
    assert (code, "[LEASE_LOST]. Stop working on it" in line) == (4, True)


def test_a_claim_chooses_by_label_and_takes_several(shell: Shell):
    for title in ("one", "two", "three"):
        shell.says("task", "create", title, "--label", f"kind={title}")
    assert claimed(shell, "--label", "kind=two")[0] == "t2"
    both = shell.json("task", "claim", "--as", "bob", "--max", "5")
    assert [each["task"]["task_id"] for each in both] == ["t1", "t3"]


def test_a_claim_that_finds_nothing_says_so(shell: Shell):
    code, line = shell.fails("task", "claim", "--as", "bob", "--wait", "1s")
    assert (code, line) == (7, "dovetail: nothing was ready in 1 s\n")
    assert shell.fails("task", "claim", "--as", "bob")[0] == 7


def test_a_claim_that_is_repeated_takes_the_same_task(shell: Shell):
    for _ in range(2):
        shell.says("task", "create", "x")
    first = claimed(shell, "--request-id", "r")
    assert claimed(shell, "--request-id", "r") == first
    shell.says("task", "complete", "--as", "bob", first[0], "--lease-token", first[1])
    repeat = ("task", "claim", "--as", "bob", "--request-id", "r", "--wait", "60s")
    assert shell.fails(*repeat)[0] == 7  # At once: what it took has ended.
    assert claimed(shell, "--request-id", "other")[0] == "t2"


def test_a_waiting_claim_gets_what_is_made_meanwhile(shell: Shell):
    words = [*PROGRAM, "task", "claim", "--as", "bob", "--wait", "60s", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=shell.environment) as claim:
        shell.says("task", "create", "x")
        out, _ = claim.communicate(timeout=60)
    assert json.loads(out)["task"]["task_id"] == "t1"


def test_the_token_of_the_environment_counts_for_the_task_of_the_environment(shell: Shell):
    for _ in range(2):
        shell.says("task", "create", "x")
    task_id, token = claimed(shell)
    inside = {"DOVETAIL_LEASE_TOKEN": token, "DOVETAIL_TASK_ID": task_id}
    shell.says("task", "start", "--as", "bob", "t2")
    within = shell.within(**inside)
    assert "completed" in within.says("task", "complete", "--as", "bob", "t2")
    assert "pending" in within.says("task", "release", "--as", "bob", "t1", "not mine")


def test_a_task_is_started_under_a_lease_and_released(shell: Shell):
    shell.says("task", "create", "x")
    (made,) = shell.json("task", "start", "--as", "bob", "t1", "--lease", "1m")
    assert made["task"]["lease"]["duration"] == "60s"
    released = shell.says(
        "task", "release", "--as", "bob", "t1", "--lease-token", made["lease_token"]
    )
    assert "t1  pending" in released


def test_a_question_is_asked_and_answered(shell: Shell):
    shell.says("task", "create", "--as", "alice", "x")
    task_id, token = claimed(shell)
    asking = (task_id, "Which one?", "--as", "bob", "--lease-token", token)
    printed = shell.says("task", "ask", *asking, "--data", '{"n": 1}')
    for part in ("input required", "to alice: Which one?", "stopped"):
        assert part in printed
    assert "Which one?" in shell.says("inbox", "--as", "alice")
    printed = shell.says("task", "answer", "--as", "alice", task_id, "The left one")
    assert "The left one" in printed
    assert shell.fails("task", "answer", "--as", "alice", task_id, "Again")[0] == 4


def test_who_asks_may_wait_for_the_answer(shell: Shell):
    shell.says("task", "create", "x")
    task_id, token = claimed(shell)
    words = ("task", "ask", task_id, "Which?", "--as", "bob", "--lease-token", token)
    words += ("--to", "alice", "--wait", "60s")
    with subprocess.Popen(
        [*PROGRAM, *words], stdout=subprocess.PIPE, text=True, env=shell.environment
    ) as asking:
        shell.says("inbox", "--as", "alice", "--wait", "20")
        shell.says("task", "answer", "--as", "alice", task_id, "The left one")
        out, _ = asking.communicate(timeout=60)
    assert out == "The left one\n"


def test_who_waits_in_vain_is_told_why(shell: Shell):
    shell.says("task", "create", "--as", "alice", "x")
    task_id, token = claimed(shell)
    words = ("task", "ask", task_id, "Which?", "--as", "bob", "--lease-token", token)
    code, line = shell.fails(*words, "--wait", "1s")
    assert (code, "no answer came in 1 s" in line) == (7, True)


def test_a_failed_attempt_is_tried_again_while_some_are_left(shell: Shell):
    shell.says("task", "create", "x", "--max-attempts", "2", "--backoff", "0s")
    shell.says("task", "start", "--as", "bob", "t1")
    again = shell.says("task", "fail", "--as", "bob", "t1", "No network", "--retryable")
    assert "t1  pending" in again
    assert "1, of which 1 failed; 2 may" in again
    shell.says("task", "start", "--as", "bob", "t1")
    over = shell.says("task", "fail", "--as", "bob", "t1", "No network", "--retryable")
    assert "t1  failed" in over


def test_a_task_waits_for_others_and_for_its_time(shell: Shell):
    shell.says("task", "create", "first", "--id", "a")
    shell.says("task", "create", "second", "--id", "b", "--depends-on", "a")
    assert "waits for    ○ a  pending  first" in shell.says("task", "show", "b")
    code, line = shell.fails("task", "start", "--as", "bob", "b")
    assert code == 4
    step = "See what it waits for: dovetail task graph. To go on without:"
    assert f"waits for 'a' [TASK_NOT_READY]. {step} dovetail task update b --depends-on ''" in line
    code, line = shell.fails("task", "update", "a", "--depends-on", "b")
    assert (code, "[DEPENDENCY_CYCLE]" in line) == (5, True)
    code, line = shell.fails("task", "delete", "a")
    assert (code, "[TASK_DEPENDED_ON]" in line) == (4, True)
    shell.says("task", "create", "later", "--id", "c", "--at", "2200-01-01")
    assert "2200-01-01" in shell.says("task", "show", "c")
    code, line = shell.fails("task", "start", "--as", "bob", "c")
    assert (code, f"{step} dovetail task update c --at ''" in line) == (4, True)
    shell.says("task", "update", "c", "--at", "", "--depends-on", "")
    assert "not before" not in shell.says("task", "show", "c")
    shell.says(
        "task", "update", "c", "--at", "2020-01-01", "--backoff", "1m", "--max-attempts", "9"
    )
    assert "in progress" in shell.says("task", "start", "--as", "bob", "c")


def test_a_cancelled_task_may_take_its_parts_along(shell: Shell):
    shell.says("task", "create", "whole", "--id", "whole")
    shell.says("task", "create", "part", "--id", "part", "--parent", "whole")
    assert "whole" in shell.says("task", "show", "part")
    shell.says("task", "cancel", "whole", "--cascade")
    assert "cancelled" in shell.says("task", "show", "part")


def test_an_answer_that_was_waited_for_is_all_that_is_printed(shell: Shell):
    for name in ("ann", "joe"):
        shell.says("agent", "register", name)
    shell.says("task", "create", "--as", "ann", "--id", "x", "X", "--assignee", "joe")
    shell.says("task", "start", "--as", "joe", "x")
    ask = ("task", "ask", "--as", "joe", "x", "which?", "--request-id", "q", "--wait")
    assert shell.run(*ask, "0.1s", "--brief").exit_code == 7
    shell.says("task", "answer", "--as", "ann", "x", "this one")
    assert shell.says(*ask, "20s", "--brief") == shell.says(*ask, "20s") == "this one\n"
    (answered,) = shell.json(*ask, "20s")
    assert answered["answer"] == {"text": "this one"}


def test_messages_are_acknowledged_with_commas_too(shell: Shell):
    for text in "abc":
        shell.says("send", "--as", "joe", "joe", text)
    assert shell.says("acknowledge", "--as", "joe", "1,2", "3") == "acknowledged 3, 0 are left\n"


def asked(shell: Shell, *words: str) -> tuple[int, str]:
    """A question of bob about a task of alice."""
    shell.says("task", "create", "--as", "alice", "x")
    shell.says("task", "start", "--as", "bob", "t1")
    done = shell.run("task", "ask", "--as", "bob", "t1", "Which?", *words)
    return done.exit_code, done.out + done.error


OFFER = ("--option", "left=The old one", "--option", "right", "--within", "2h", "--default", "left")


def test_a_question_with_options_is_answered_by_the_name_of_one(shell: Shell):
    code, printed = asked(shell, *OFFER)
    assert code == 0
    for part in ("options", "left, right", "default      in ", ": left"):
        assert part in printed
    inbox = shell.says("inbox", "--as", "alice")
    for part in ("- left: The old one", "- right", "If there is no answer by"):
        assert part in inbox
    code, line = shell.fails("task", "answer", "--as", "alice", "t1", "--option", "up")
    assert (code, '"left", "right"' in line, "--option" in line) == (5, True, True)
    words = ("task", "answer", "--as", "alice", "t1", "", "--option", "right")
    assert "right" in shell.says(*words)
    (task,) = shell.json("task", "show", "t1")
    assert task["answer"] == {"option": "right"}
    assert "right" in shell.says("task", "show", "t1")


@pytest.mark.parametrize(
    ("words", "option", "code"),
    [
        (("--within", "1h"), "--default", 5),
        (("--default", "x"), "--default", 5),
        (("--within", "0.5s", "--default", "x"), "--within", 5),
        (("--option", "a", "--option", "a"), "--option", 5),
        (("--option", "=a"), "--option", 2),
        (("--option", "a", "--within", "1h", "--default", "b"), "--default", 5),
    ],
)
def test_what_a_question_offers_is_refused_by_the_name_of_its_option(
    shell: Shell, words: tuple[str, ...], option: str, code: int
):
    exit_code, printed = asked(shell, *words)
    assert (exit_code, option in printed) == (code, True)


def test_a_default_is_waited_for_and_printed(shell: Shell):
    offer = ("--option", "left", "--within", "1s", "--default", "left", "--wait", "50s")
    assert asked(shell, *offer) == (0, "left\n")
    assert "the default" in shell.says("task", "show", "t1")
