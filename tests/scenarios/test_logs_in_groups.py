"""Real logs again, as a team has them for months: groups, threads, search, receipts and export."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pytest

from archives.edited import bring, export
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.main import Level, check_store
from support.callers import Caller
from support.databases import empty_database
from support.mail import ACKNOWLEDGED, OPEN
from support.pair import running_pair
from support.real_logs import FOLDER, Log, Turn, read_all
from support.soak import full_or_tenth
from support.teams import Team

LOGS = read_all()[: full_or_tenth(18)]
pytestmark = pytest.mark.soak

CREW = "crew"
WORD = re.compile(r"(?<![\w'\u2019.-])[a-z]{6,12}(?![\w'\u2019.-])", re.ASCII | re.IGNORECASE)
"""Words that no way to tell words apart divides."""
WORDS_EACH = 2


@pytest.fixture
def other_url(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Generator[str]:
    """Where there is no store yet: of the other engine."""
    if store_url.startswith("postgresql"):
        yield f"sqlite:///{tmp_path}/other.db"
    else:
        with empty_database(str(request.getfixturevalue("postgres"))) as url:
            yield url


@pytest.mark.skipif(not LOGS, reason=f"no logs in {FOLDER}: set DOVETAIL_LOGS to their folder")
async def test_real_logs_are_found_by_group_thread_word_and_receipt_and_moved_whole(
    store_url: str, other_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    async with running_pair(store_url) as pair:
        played = [_Played(Team(pair, f"team {log.name}"), log) for log in LOGS]
        await asyncio.gather(*(each.play() for each in played))
        found = await asyncio.gather(*(each.check() for each in played))
    assert [each for each in check_store(store_url) if each.level is Level.FAIL] == []
    rows = export(store_url, tmp_path / "first")
    bring(other_url, tmp_path / "first")
    assert export(other_url, tmp_path / "again") == rows
    async with running_pair(other_url) as pair:
        for each in played:
            each.team = Team(pair, each.team.team_id)
        again = await asyncio.gather(*(each.check() for each in played))
    assert again == found
    report_figures(
        f"{len(LOGS)} logs, {sum(len(log.turns) for log in LOGS)} turns to groups,"
        f" {sum(found):,} words searched: all found, on both engines; {len(rows):,} rows moved"
    )


class _Played:
    """A log as a team of its own: each turn goes to all, and one is done with it."""

    def __init__(self, team: Team, log: Log) -> None:
        self.team = team
        self._log = log
        self._ids: list[str] = []

    async def play(self) -> None:
        """Say everything, in order."""
        members = sorted(self._log.participants)
        await self.team.known(*members)
        group = m.Group(group_id=CREW, agent_ids=members)
        await self.team.caller(members[0]).call(m.PutGroupRequest(group=group))
        for turn in self._log.turns:
            sent = await self._say(self.team.caller(turn.speaker), turn)
            self._ids.append(sent.message_id)
            place = {each.recipient_id: each.sequence for each in sent.receipts}
            await self.team.caller(turn.addressee).acknowledge(place[turn.addressee])

    async def _say(self, speaker: Caller, turn: Turn) -> m.SendMessageResponse:
        # Who thinks aloud is a recipient as well: a member that writes to its group is none.
        own = [turn.addressee] if turn.addressee == turn.speaker else []
        return await speaker.send(*own, group_ids=[CREW], body=turn.text, thread_id=self._log.name)

    async def check(self) -> int:
        """Look at all that was said, in every way. Returns how many words were searched for."""
        page = await self.team.caller().list_messages(
            filter=m.MessageFilter(thread_id=self._log.name), page_size=1_000
        )
        said = [record.message for record in page.records]
        assert [each.message_id for each in said] == self._ids
        assert [(each.sender_id, each.body) for each in said] == [
            (turn.speaker, turn.text) for turn in self._log.turns
        ]
        assert {tuple(each.group_ids) for each in said} == {(CREW,)}
        await self._check_receipts()
        return await self._check_words()

    async def _check_receipts(self) -> None:
        """Every member but the speaker has each turn once, in order; one is done with it."""
        inboxes = Counter[str]()
        for message_id, turn in zip(self._ids, self._log.turns, strict=True):
            expected = self._log.participants - {turn.speaker} | {turn.addressee}
            answer = await self.team.caller(turn.speaker).call(
                m.ListReceiptsRequest(message_id=message_id, page_size=1_000)
            )
            assert {each.recipient_id for each in answer.receipts} == expected
            for each in answer.receipts:
                inboxes[each.recipient_id] += 1
                assert each.sequence == inboxes[each.recipient_id]
                done = each.recipient_id == turn.addressee
                assert each.state in ([ACKNOWLEDGED] if done else OPEN)
        for agent_id, count in inboxes.items():
            assert (await self.team.caller(agent_id).look()).last_sequence == count

    async def _check_words(self) -> int:
        """The rarest words of each turn find all turns in which they are, the newest first."""
        words = [{each.lower() for each in WORD.findall(turn.text)} for turn in self._log.turns]
        often = Counter(word for each in words for word in each)
        chosen = {
            word
            for each in words
            for word in sorted(each, key=lambda word: (often[word], word))[:WORDS_EACH]
        }
        for word in sorted(chosen):
            hits = await self._search(word)
            assert {*self._with(words, word)} <= {*hits}, word
            places = [self._ids.index(each) for each in hits]
            assert places == sorted(places, reverse=True), word
            spelled = re.compile(rf"{word}", re.IGNORECASE)
            assert all(spelled.search(self._log.turns[place].text) for place in places), word
        return len(chosen)

    def _with(self, words: Iterable[set[str]], word: str) -> list[str]:
        return [each for each, here in zip(self._ids, words, strict=True) if word in here]

    async def _search(self, word: str) -> list[str]:
        """The ids of all messages with a word."""
        request, found = m.SearchMessagesRequest(query=word, page_size=100), list[str]()
        while True:
            answer = await self.team.caller().call(request)
            found += [hit.record.message.message_id for hit in answer.hits]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token
