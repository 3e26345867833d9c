"""Random agents write, reject, withdraw, let expire and reconnect, against a model of mail."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.server import clock
from dovetail.server.messaging import mail_monitor
from dovetail.server.messaging.mail_monitor import MailMonitor
from dovetail.server.store.counter_queries import COUNTERS
from dovetail.server.store.store import Store
from dovetail.server.store.transaction import Transaction
from dovetail.types.v1 import types_pb2
from model.mail import ACKNOWLEDGED, EXPIRED, OPEN, REJECTED, SEEN, WITHDRAWN, Mail, Post
from model.mail_wire import Stream, event_of, state_of
from model.task import RefusedError
from support.callers import seconds
from support.mail import at
from support.pair import identity, running
from support.refusals import error_info
from support.soak import SOAK

AGENTS = ("ann", "bob", "eve")
AGENT = st.sampled_from(AGENTS)
SERVER = st.integers(0, 1)
SOON, LATER = 3_000, 30_000
"""When messages expire. Steps of the time are far from that, so a slow run changes nothing."""
LIFETIME = st.sampled_from((None, None, SOON, LATER))
STATES = (OPEN, SEEN, ACKNOWLEDGED, REJECTED, EXPIRED, WITHDRAWN)


@dataclass
class World:
    """Two messaging servers over one store, whose time a test lets pass."""

    stubs: Sequence[Any]
    stores: Sequence[Store]
    loop: asyncio.AbstractEventLoop
    ahead: float = 0

    def do(self, server: int, team_id: str, unit: Callable[[Transaction], bool]) -> None:
        """Run a unit at a server until nothing is left."""
        while self._result(self.stores[server].write(team_id, unit)):
            pass

    def wrong_counters(self) -> list[Any]:
        """The inboxes whose counters a scan of their deliveries does not confirm."""
        sql = COUNTERS["inbox counters"]
        return self._result(self.stores[0].read("", lambda s: s._fetch(sql, ())))

    def _result(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(60)


class MailAtWork(RuleBasedStateMachine):
    """One team: every request goes to a server and to the model, and both must agree."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.team_id = uuid.uuid4().hex
        self.post = Post()
        self.streams: list[Stream] = []
        self.cursors: dict[str, int] = {}
        self.sent: list[tuple[str, pb.SendMessageRequest, str]] = []
        self.stubs = self.world.stubs

    @initialize()
    def begin(self) -> None:
        for agent_id in AGENTS:
            self.call(agent_id, pb.RegisterAgentRequest())
            self.post.inboxes[agent_id] = []

    @rule(
        actor=AGENT,
        to=st.lists(AGENT, min_size=1, unique=True),
        lifetime=LIFETIME,
        deadline=st.sampled_from((None, None, SOON)),
        server=SERVER,
        most=st.integers(1, 4),
    )
    def send(  # noqa: PLR0913 - one for each thing that is drawn
        self,
        actor: str,
        to: list[str],
        lifetime: float | None,
        deadline: float | None,
        server: int,
        most: int,
    ) -> None:
        """Send a message, or several in one commit."""
        ahead = self.world.ahead
        request = pb.SendMessageRequest(
            recipient_ids=to,
            expire_time=None if lifetime is None else at(ahead + lifetime),
            ack_deadline=None if deadline is None else seconds(deadline),
        )
        if most > 1:
            batch = pb.BatchSendMessagesRequest(requests=[request] * most)
            found = [each.message_id for each in self.call(actor, batch, server).messages]
        else:
            request.request_id = uuid.uuid4().hex
            found = [self.call(actor, request, server).message_id]
            self.sent.append((actor, request, found[0]))
        for message_id in found:
            assert message_id == self.next_id()
            expire_time = lifetime and self.post.now + lifetime
            due = deadline and self.post.now + deadline
            self.post.deliver(Mail(message_id, actor, tuple(to), expire_time, due))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), server=SERVER)
    def repeat(self, data: st.DataObject, server: int) -> None:
        """Whatever became of it since, a repeat sends nothing, and returns what was sent."""
        actor, request, message_id = data.draw(st.sampled_from(self.sent))
        assert self.call(actor, request, server).message_id == message_id

    @rule(data=st.data(), actor=AGENT, server=SERVER)
    def acknowledge(self, data: st.DataObject, actor: str, server: int) -> None:
        if wanted := self.some_of(data, actor):
            self.acknowledge_these(actor, wanted, server)

    def acknowledge_these(self, actor: str, wanted: Sequence[int], server: int) -> None:
        answer = self.call(actor, pb.AcknowledgeMessagesRequest(sequences=wanted), server)
        count = self.post.acknowledge(actor, wanted)
        assert (answer.acknowledged_count, answer.unacknowledged_count) == (
            count,
            self.post.count(actor),
        )

    @rule(data=st.data(), actor=AGENT, server=SERVER)
    def see(self, data: st.DataObject, actor: str, server: int) -> None:
        if wanted := self.some_of(data, actor):
            answer = self.call(actor, pb.MarkMessagesSeenRequest(sequences=wanted), server)
            assert answer.seen_count == self.post.see(actor, wanted)

    @rule(data=st.data(), actor=AGENT, server=SERVER, reason=st.sampled_from(("busy", "no")))
    def reject(self, data: st.DataObject, actor: str, server: int, reason: str) -> None:
        if not (wanted := self.some_of(data, actor)):
            return
        request = pb.RejectMessageRequest(sequences=wanted, reason=reason)
        before = [place.is_open for place in self.post.inboxes[actor]]
        try:
            told = self.post.reject(actor, wanted, reason)
        except RefusedError as refused:
            self.is_refused(str(refused), actor, request, server)
            return
        answer = self.call(actor, request, server)
        assert answer.rejected_count == sum(before[each - 1] for each in wanted)
        for mail in told:
            self.notice(actor, mail, "REJECTED")
        assert answer.unacknowledged_count == self.post.count(actor)

    @precondition(lambda self: self.post.messages)
    @rule(data=st.data(), actor=AGENT, server=SERVER)
    def withdraw(self, data: st.DataObject, actor: str, server: int) -> None:
        mail = data.draw(st.sampled_from([*self.post.messages.values()][-6:]))
        request = pb.WithdrawMessageRequest(message_id=mail.message_id)
        try:
            expected = self.post.withdraw(mail.message_id)
        except RefusedError as refused:
            self.is_refused(str(refused), actor, request, server)
            return
        answer = self.call(actor, request, server)
        assert (answer.withdrawn_count, answer.late_count) == expected

    @rule(length=st.sampled_from((1_000, 4_000)))
    def pass_time(self, length: float) -> None:
        self.world.ahead += length
        self.post.pass_time(length)

    @rule(server=SERVER)
    def watch(self, server: int) -> None:
        """Let a monitor look."""
        self.world.do(server, self.team_id, mail_monitor.expire_some)
        self.world.do(server, self.team_id, mail_monitor.tell_some)
        for mail, _ in self.post.watch():
            self.notice("", mail, "UNACKNOWLEDGED")

    @rule(
        agent_id=AGENT,
        server=SERVER,
        limit=st.sampled_from((0, 0, 1, 3)),
        has_acknowledged=st.booleans(),
        resumes=st.booleans(),
    )
    def connect(
        self, agent_id: str, server: int, limit: int, has_acknowledged: bool, resumes: bool
    ) -> None:
        cursor = self.cursors.get(agent_id, 0) if resumes else 0
        request = pb.SubscribeInboxRequest(
            after_sequence=cursor,
            include_acknowledged=has_acknowledged,
            max_outstanding=limit,
        )
        call = self.stubs[server].SubscribeInbox(
            request, metadata=identity(agent_id, self.team_id), timeout=300
        )
        stream = Stream(agent_id, call, cursor, self.post.step, limit, has_acknowledged)
        self.streams.append(stream)

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), server=SERVER)
    def read(self, data: st.DataObject, server: int) -> None:
        """Read a stream up to a message that is sent now: all between must be there, once."""
        stream = data.draw(st.sampled_from(self.streams))
        inbox, first = self.post.inboxes[stream.agent_id], stream.cursor
        if stream.limit:
            sent = range(1, first + 1)
            self.acknowledge_these(stream.agent_id, [*sent] or [], server) if sent else None
        self.send("ann", [stream.agent_id], None, None, server, 1)
        last, found = len(inbox), list[int]()
        while stream.cursor < last:
            response = next(stream.call)
            if stream.limit:
                assert len(response.deliveries) <= stream.limit
            for delivery in response.deliveries:
                self.check_delivery(stream, delivery)
                found.append(stream.cursor)
            assert response.through_sequence >= stream.cursor
            if stream.limit and response.deliveries:
                taken = [each.receipt.sequence for each in response.deliveries]
                self.acknowledge_these(stream.agent_id, taken, server)
        for sequence in {*range(first + 1, last + 1)} - {*found}:
            place = inbox[sequence - 1]
            assert not place.is_open, sequence
            # What has expired is handed out no more, though it was acknowledged before.
            is_kept = place.state == ACKNOWLEDGED and not self.post.is_over(place.mail.expire_time)
            assert not (stream.has_acknowledged and is_kept), sequence
        stream.since = self.post.step

    def check_delivery(self, stream: Stream, delivery: pb.Delivery) -> None:
        """It comes after the last one, and was to be delivered at some time since the last read."""
        sequence = delivery.receipt.sequence
        assert sequence > stream.cursor
        stream.cursor = sequence
        place = self.post.inboxes[stream.agent_id][sequence - 1]
        assert delivery.message.message_id == place.mail.message_id
        is_acknowledged = stream.has_acknowledged and place.state == ACKNOWLEDGED
        assert place.is_open or is_acknowledged or place.ended > stream.since, place

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(self.streams))
        self.streams.remove(stream)
        stream.call.cancel()
        self.cursors[stream.agent_id] = stream.cursor

    @rule(agent_id=AGENT, server=SERVER)
    def look(self, agent_id: str, server: int) -> None:
        """Compare all that can be read of an inbox."""
        inbox = self.post.inboxes[agent_id]
        listing = pb.ListMessagesRequest(recipient_id=agent_id, page_size=1_000)
        records = self.call("", listing, server).records
        receipts = [
            next(each for each in record.receipts if each.recipient_id == agent_id)
            for record in records
        ]
        assert [each.sequence for each in receipts] == [*range(1, len(inbox) + 1)]
        assert [(each.message_id, state_of(each), each.reason) for each in receipts] == [
            (place.mail.message_id, place.state, place.reason) for place in inbox
        ]
        for record, place in zip(records, inbox, strict=True):
            assert event_of(record.message) == (place.mail.event, place.mail.about)
        answer = self.call(agent_id, pb.ReceiveMessagesRequest(max_messages=1_000), server)
        assert [each.receipt.sequence for each in answer.deliveries] == [
            number for number, place in enumerate(inbox, 1) if place.is_open
        ]
        assert answer.unacknowledged_count == self.post.count(agent_id)

    @rule(agent_id=AGENT, server=SERVER)
    def filter(self, agent_id: str, server: int) -> None:
        """Compare what the filter by state chooses."""
        for state in (ACKNOWLEDGED, REJECTED, EXPIRED, WITHDRAWN, OPEN):
            number = types_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state}")
            listing = pb.ListMessagesRequest(recipient_id=agent_id, page_size=1_000)
            listing.states.append(number)
            found = [each.message.message_id for each in self.call("", listing, server).records]
            assert found == [
                place.mail.message_id
                for place in self.post.inboxes[agent_id]
                if place.state == state or (state == OPEN and place.is_open)
            ]

    def teardown(self) -> None:
        """Compare every inbox, and every counter with a scan; then let a monitor end the rest."""
        for stream in self.streams:
            stream.call.cancel()
        for agent_id in self.post.inboxes:
            self.look(agent_id, 1)
            self.filter(agent_id, 0)
        assert self.world.wrong_counters() == []
        self.watch(0)
        counts = {each.agent_id: each.unacknowledged_count for each in self.agents()}
        assert counts == {agent_id: self.post.count(agent_id) for agent_id in self.post.inboxes}
        assert self.world.wrong_counters() == []

    def agents(self) -> Sequence[pb.Agent]:
        return self.call("", pb.ListAgentsRequest()).agents

    def some_of(self, data: st.DataObject, agent_id: str) -> list[int]:
        """Some sequences of an inbox, the last ones rather than the first."""
        last = len(self.post.inboxes[agent_id])
        if not last:
            return []
        places = st.integers(max(1, last - 6), last)
        return sorted(data.draw(st.sets(places, min_size=1, max_size=3)))

    def notice(self, actor: str, mail: Mail, event: str) -> None:
        """A notice about mail, which its sender gets."""
        told = (mail.sender_id,)
        notice = Mail(self.next_id(), actor, told, event=event, about=mail.message_id)
        self.post.deliver(notice)

    def next_id(self) -> str:
        return f"m{len(self.post.messages) + 1}"

    def call(self, actor: str, request: Any, server: int = 0) -> Any:
        """Make the call that a request is for, at one of the servers."""
        method = getattr(self.stubs[server], request.DESCRIPTOR.name.removesuffix("Request"))
        return method(request, metadata=identity(actor, self.team_id), timeout=60)

    def is_refused(self, reason: str, actor: str, request: Any, server: int) -> None:
        """A call must be refused for a reason."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(actor, request, server)
        assert error_info(cast(Any, caught.value)).reason == reason


def run(world: World, examples: int) -> None:
    """Let so many random teams write, each anew and all the same in every run."""
    machine = type("MailAtWork", (MailAtWork,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@asynccontextmanager
async def a_world(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[World]:
    """Two servers whose monitors look when they are told to."""
    monkeypatch.setattr(MailMonitor, "start", lambda _: None)
    async with running("messaging", store_url) as first, running("messaging", store_url) as other:
        both = (first, other)
        channels = [grpc.insecure_channel(each.address) for each in both]
        stubs = [messaging_pb2_grpc.MessagingServiceStub(each) for each in channels]
        world = World(stubs, [each.store for each in both], asyncio.get_running_loop())
        now = clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + round(world.ahead * 1_000_000))
        yield world
        for channel in channels:
            channel.close()


# A failure is made small before it is told, which takes its time.
pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 600)]


async def test_mail_on_sqlite_is_as_in_the_model(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(sqlite_url, monkeypatch) as world:
        await asyncio.to_thread(run, world, 600 if SOAK else 15)


async def test_mail_on_postgres_is_as_in_the_model(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(postgres_url, monkeypatch) as world:
        await asyncio.to_thread(run, world, 200 if SOAK else 4)
