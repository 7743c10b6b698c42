"""A listener may break off anywhere and go on anywhere: its text is the stored reply in the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from agent.brain.base import BrainReply, Emitter, ToolCaller, TurnInput
from agent.turn.inputs import Delta, Drain, Finished, Reset, TurnEvent
from agent.turn.pipeline import TurnPipeline, TurnPolicy
from agent.turn.sharing import encoded
from core.clock import SystemClock
from core.messages import MessageRole, TurnResult, TurnStatus
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.events import SqlTurnEvents
from state.sql.migrate import upgrade
from state.store import EventBatch, TurnEvents
from tests.unit.turn.test_pipeline import FakeBrain, FakeTools, NoMetrics, NothingIsDown, say, text_of
from tools.protocol import ToolCall, ToolOutcome

Respond = Callable[[TurnInput, ToolCaller, Emitter], Awaitable[BrainReply]]
WORDS = ("No. ", None, "One. ", "Two. ", "Three. ", None, "Four. ", "Five.")
"""What is said; None forgets it."""


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(upgrade, sqlite_url)
    database = Database(sqlite_url, timeout_seconds=5)
    yield database
    await database.close()


def replica(
    database: Database, respond: Respond, *, name: str = "one", tools: FakeTools | None = None
) -> TurnPipeline:
    events: TurnEvents = SqlTurnEvents(database, clock=SystemClock())
    return TurnPipeline(
        store=SqlConversationStore(database, owner=name, lease_seconds=5),
        brain=FakeBrain(respond),
        tools=tools or FakeTools(),
        degradation=NothingIsDown(),
        metrics=NoMetrics(),
        policy=TurnPolicy(
            deadline_seconds=5, lease_seconds=5, history_messages=20, handoff_timeout=timedelta(hours=1)
        ),
        clock=SystemClock(),
        events=events,
    )


def speaking(*steps: str | None, pause: float = 0.0, hold: asyncio.Event | None = None) -> Respond:
    """Says `steps`; with `hold` waits after half of them."""

    async def respond(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        text = ""
        for place, step in enumerate(steps):
            if hold is not None and place == len(steps) // 2:
                await hold.wait()
            await asyncio.sleep(pause)
            if step is None:
                await out.reset()
                text = ""
            else:
                await out.text(step)
                text += step
        return BrainReply(text=text, state=turn.state)

    return respond


class Client:
    """Reads of any replica, and keeps what a page would show."""

    def __init__(self) -> None:
        self.after = 0
        self.text = ""
        self.numbers: list[int] = []
        self.result: TurnResult | None = None
        self.is_drained = False

    async def read(self, turns: TurnPipeline, turn_id: str, *, most: int = 1000) -> None:
        """Up to `most` events, or the end."""
        told = turns.events("default", turn_id, after=self.after)
        async for n, event in told:
            self._hear(n, event)
            most -= 1
            if most <= 0 or isinstance(event, (Finished, Drain)):
                break
        assert hasattr(told, "aclose")
        await told.aclose()

    def _hear(self, n: int, event: TurnEvent) -> None:
        self.after = n
        self.numbers.append(n)
        if isinstance(event, Reset):
            self.text = ""
        elif isinstance(event, Delta):
            self.text += event.text
        elif isinstance(event, Finished):
            self.result = event.result
        elif isinstance(event, Drain):
            self.is_drained = True


async def stored_reply(turns: TurnPipeline, conversation_id: str) -> str:
    log = await turns.messages("default", conversation_id, after=0, limit=10)
    (reply,) = [message.text for message in log if message.role is MessageRole.AGENT]
    return reply


@pytest.mark.parametrize("first", range(12))
async def test_cut_anywhere_and_resumed_on_another_replica(database: Database, first: int) -> None:
    """Also where the cut comes again after each further event."""
    for second in (1, 3, 1000):
        here = replica(database, speaking(*WORDS, pause=0.03))
        there = replica(database, speaking(), name="two")
        taken = await here.submit(say("hello"))
        client = Client()

        if first:
            await client.read(here, taken.turn_id, most=first)
        async with asyncio.timeout(5):
            while client.result is None:
                await client.read(there, taken.turn_id, most=second)
                if client.result is None:
                    await client.read(here, taken.turn_id, most=second)

        assert client.text == await stored_reply(here, taken.conversation_id) == "Four. Five."
        assert client.numbers == sorted(client.numbers)
        await here.drain(0)


@pytest.mark.parametrize("heard", range(7))
async def test_the_running_replica_goes_away_and_another_begins_again(database: Database, heard: int) -> None:
    gate = asyncio.Event()
    dying = replica(database, speaking(*WORDS, pause=0.03, hold=gate))
    living = replica(database, speaking("Quite ", "another ", "answer.", pause=0.06), name="two")
    taken = await dying.submit(say("hello"))
    client = Client()

    if heard:
        async with asyncio.timeout(1):
            await client.read(dying, taken.turn_id, most=min(heard, 5))
    if heard > 5:
        await asyncio.sleep(0.2)
    resumed = asyncio.create_task(client.read(living, taken.turn_id))
    await asyncio.sleep(0.15)
    await dying.drain(0)
    async with asyncio.timeout(5):
        await resumed

    assert client.result is not None
    assert client.text == text_of(client.result) == "Quite another answer."
    assert client.text == await stored_reply(living, taken.conversation_id)
    assert client.numbers == sorted(client.numbers)


async def test_a_replica_that_was_overtaken_cannot_spoil_what_the_next_one_tells(database: Database) -> None:
    """Paused past its lease, it wakes up and goes on telling."""
    gate = asyncio.Event()
    zombie = replica(database, speaking("Stale. ", "Stale too.", pause=0.15, hold=gate))
    taken = await zombie.submit(say("hello"))
    client = Client()
    await client.read(zombie, taken.turn_id, most=2)
    lease_of_zombie = next(iter(zombie._streams.values())).run
    store = SqlConversationStore(database, owner="two", lease_seconds=5)
    async with asyncio.timeout(2):
        await _expire(database)
        (lease,) = await store.claim_unanswered(limit=1)
    living = replica(database, speaking("Fresh ", "answer.", pause=0.3), name="two")
    living.resume(lease)
    gate.set()

    async with asyncio.timeout(5):
        await client.read(zombie, taken.turn_id)

    assert lease.token > lease_of_zombie
    assert client.text == await stored_reply(living, taken.conversation_id) == "Fresh answer."


async def _expire(database: Database) -> None:
    import sqlalchemy as sa

    await database.write(
        lambda connection: connection.execute(sa.text("UPDATE conversations SET lease_until = 0"))
    )


async def test_quick_turns_tell_other_replicas_nothing(database: Database) -> None:
    here = replica(database, speaking("Yes."))

    taken = await here.submit(say("hello"))
    await here.wait("default", taken.turn_id, seconds=5)

    events = SqlTurnEvents(database, clock=SystemClock())
    assert await events.after("default", taken.turn_id, run=0, last=0, seconds=0) == []


async def test_what_happens_together_is_shared_together(database: Database) -> None:
    here = replica(database, speaking(*(f"{n} " for n in range(100)), pause=0.005))

    taken = await here.submit(say("hello"))
    await here.wait("default", taken.turn_id, seconds=5)
    await here.drain(1)

    events = SqlTurnEvents(database, clock=SystemClock())
    batches: Sequence[EventBatch] = await events.after("default", taken.turn_id, run=0, last=0, seconds=0)
    assert 1 < len(batches) < 30


@asynccontextmanager
async def running(turns: TurnPipeline) -> AsyncIterator[TurnPipeline]:
    yield turns
    await turns.drain(0)


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_stopped_turn_answers_with_what_was_shown(database: Database, is_elsewhere: bool) -> None:
    never = asyncio.Event()
    async with running(replica(database, speaking("One. ", "Two.", hold=never))) as here:
        other = replica(database, speaking(), name="two") if is_elsewhere else here
        taken = await here.submit(say("hello"))
        client = Client()
        await client.read(here, taken.turn_id, most=2)

        await other.stop("default", taken.turn_id)
        async with asyncio.timeout(2):
            result = await other.wait("default", taken.turn_id, seconds=2)
            await client.read(other, taken.turn_id)

        assert result is not None
        assert result.status is TurnStatus.ANSWERED
        assert text_of(result) == "One. \n\nI stopped here, as you asked." == client.text
        assert await stored_reply(here, taken.conversation_id) == client.text


async def test_a_tool_that_is_under_way_ends_before_its_turn_stops(database: Database) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class SlowTools(FakeTools):
        async def call(self, name: str, arguments: object, call: ToolCall) -> ToolOutcome:
            begun.set()
            await asyncio.sleep(0.4)
            ended.set()
            return await super().call(name, {}, call)

    async def acts(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await tools.call("open_ticket", {})
        await tools.call("notify", {})
        raise AssertionError

    tools = SlowTools()
    async with running(replica(database, acts, tools=tools)) as here:
        taken = await here.submit(say("hello"))
        await begun.wait()
        await here.stop("default", taken.turn_id)
        result = await here.wait("default", taken.turn_id, seconds=3)

    assert ended.is_set()
    assert result is not None
    assert [action.tool for action in result.actions] == ["open_ticket"]
    assert "stopped here" in text_of(result)


async def test_a_turn_that_is_over_cannot_be_stopped(database: Database) -> None:
    here = replica(database, speaking("Yes."))
    taken = await here.submit(say("hello"))
    before = await here.wait("default", taken.turn_id, seconds=5)

    await here.stop("default", taken.turn_id)

    assert await here.wait("default", taken.turn_id, seconds=5) == before


async def test_what_is_missing_in_the_middle_is_never_skipped_over(database: Database) -> None:
    """The store lost a batch: the listener gets the end whole instead."""
    gate = asyncio.Event()
    here = replica(database, speaking("One. ", "Two.", hold=gate))
    taken = await here.submit(say("hello"))
    run = here._streams[taken.turn_id].run
    events = SqlTurnEvents(database, clock=SystemClock())
    late = EventBatch(run=run, last=50, body=encoded([Delta("Lost its beginning.")]))
    await events.share("default", taken.turn_id, late)
    client = Client()

    reading = asyncio.create_task(client.read(replica(database, speaking(), name="two"), taken.turn_id))
    await asyncio.sleep(0.3)
    heard_before_the_end = client.text
    gate.set()
    await reading

    assert heard_before_the_end == ""
    assert client.text == await stored_reply(here, taken.conversation_id) == "One. Two."
