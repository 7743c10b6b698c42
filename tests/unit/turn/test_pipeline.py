"""The pipeline on a real SQLite record: every accepted message gets exactly one reply, whatever the brain does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.brain.base import Brain, BrainReply, Emitter, ToolCaller, TurnInput
from agent.turn.inputs import ChatRequest, Delta, Drain, Finished, Submission, TurnEvent
from agent.turn.pipeline import TurnPipeline, TurnPolicy
from core.clock import SystemClock
from core.errors import Conflict, DependencyTimeout, ErrorContext, ErrorType, NotFound, StateLoadFailed
from core.identity import Caller, CallerKind
from core.messages import (
    Action,
    ActionStatus,
    BrainName,
    DegradedPart,
    MessageRole,
    TurnResult,
    TurnStatus,
)
from core.resilience.deadline import time_left
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.store import Lease, Snapshot, TurnCommit
from tools.protocol import ToolCall, ToolOutcome

Respond = Callable[[TurnInput, ToolCaller, Emitter], Awaitable[BrainReply]]

KIM = Caller(kind=CallerKind.CUSTOMER, customer_id="kim")
LEE = Caller(kind=CallerKind.CUSTOMER, customer_id="lee")


class FakeBrain:
    name: BrainName = "embedded"

    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        return await self._respond(turn, tools, out)


class FakeTools:
    def __init__(self) -> None:
        self.calls: list[ToolCall] = []

    def has_effect(self, name: str) -> bool:
        return name != "search_knowledge"

    async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome:
        self.calls.append(call)
        return ToolOutcome(
            action=Action(call_id=call.call_id, tool=name, status=ActionStatus.SUCCEEDED),
            hands_over=name == "handoff",
        )


class NothingIsDown:
    def is_down(self, dependency: str) -> bool:
        return False

    def parts(self, pairs: Sequence[tuple[str, str]], locale: str, **_: object) -> tuple[DegradedPart, ...]:
        return ()


class NoMetrics:
    def turn_finished(self, result: TurnResult, *, seconds: float) -> None:
        pass


async def echo(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
    text = f"You said: {turn.text}"
    await out.text(text)
    return BrainReply(text=text, state=turn.state)


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(upgrade, sqlite_url)
    database = Database(sqlite_url, timeout_seconds=5)
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> SqlConversationStore:
    return SqlConversationStore(database, owner="one", lease_seconds=5)


def pipeline(
    store: SqlConversationStore, respond: Respond, tools: FakeTools | None = None, *, deadline: float = 5.0
) -> TurnPipeline:
    brain: Brain = FakeBrain(respond)
    return TurnPipeline(
        store=store,
        brain=brain,
        tools=tools or FakeTools(),
        degradation=NothingIsDown(),
        metrics=NoMetrics(),
        policy=TurnPolicy(
            deadline_seconds=deadline,
            lease_seconds=5,
            history_messages=20,
            handoff_timeout=timedelta(hours=1),
        ),
        clock=SystemClock(),
    )


def say(text: str, *, to: str | None = None, as_id: str | None = None, by: Caller = KIM) -> ChatRequest:
    return ChatRequest(caller=by, message=text, conversation_id=to, client_message_id=as_id)


async def answer(turns: TurnPipeline, request: ChatRequest) -> TurnResult:
    submission = await turns.submit(request)
    result = submission.result or await turns.wait(request.caller.tenant, submission.turn_id, seconds=5)
    assert result is not None
    return result


def text_of(result: TurnResult) -> str:
    assert result.reply is not None
    return result.reply.text


async def test_a_message_is_answered_and_both_are_in_the_log(store: SqlConversationStore) -> None:
    turns = pipeline(store, echo)

    result = await answer(turns, say("  hello \u00e9 "))

    log = await turns.messages("default", result.conversation_id, after=0, limit=10)
    assert [(message.role, message.text) for message in log] == [
        (MessageRole.CUSTOMER, "  hello \u00e9 "),
        (MessageRole.AGENT, "You said:   hello \u00e9 "),
    ]
    assert result.status is TurnStatus.ANSWERED
    assert result.timings_ms.save > 0
    assert result.timings_ms.total >= result.timings_ms.save + result.timings_ms.load


async def test_the_same_id_gets_the_same_answer(store: SqlConversationStore) -> None:
    turns = pipeline(store, echo)
    first = await answer(turns, say("hello", as_id="m1"))

    again = await answer(turns, say("hello", as_id="m1"))

    assert again == first
    assert len(await turns.messages("default", first.conversation_id, after=0, limit=10)) == 2


async def test_the_same_id_with_other_words_is_a_conflict(store: SqlConversationStore) -> None:
    turns = pipeline(store, echo)
    await answer(turns, say("hello", as_id="m1"))

    with pytest.raises(Conflict):
        await turns.submit(say("goodbye", as_id="m1"))


async def test_somebody_elses_conversation_is_not_found(store: SqlConversationStore) -> None:
    turns = pipeline(store, echo)
    mine = await answer(turns, say("hello"))

    with pytest.raises(NotFound):
        await turns.submit(say("let me in", to=mine.conversation_id, by=LEE))


async def test_messages_during_a_turn_are_answered_together_by_the_next(store: SqlConversationStore) -> None:
    gate = asyncio.Event()

    async def slow(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await gate.wait()
        return await echo(turn, tools, out)

    turns = pipeline(store, slow)
    first = await turns.submit(say("one"))
    later: list[Submission] = [
        await turns.submit(say(word, to=first.conversation_id)) for word in ("two", "three")
    ]
    gate.set()
    results = [await turns.wait("default", each.turn_id, seconds=5) for each in (first, *later)]

    assert later[0].turn_id == later[1].turn_id != first.turn_id
    assert [text_of(result) for result in results if result] == [
        "You said: one",
        "You said: two\nthree",
        "You said: two\nthree",
    ]


async def test_a_broken_brain_still_leaves_an_honest_reply(store: SqlConversationStore) -> None:
    async def broken(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await out.text("Half a ")
        raise RuntimeError("secret detail")

    result = await answer(pipeline(store, broken), say("hello"))

    assert "went wrong" in text_of(result)
    assert "secret" not in text_of(result)
    assert "Half a" not in text_of(result)


async def test_a_turn_that_outlives_its_deadline_answers_with_what_it_has(
    store: SqlConversationStore,
) -> None:
    async def endless(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await out.text("The first part.")
        await asyncio.sleep(60)
        raise AssertionError

    result = await answer(pipeline(store, endless, deadline=0.2), say("hello"))

    assert text_of(result).startswith("The first part.\n\n")
    assert "in time" in text_of(result)


async def test_what_a_turn_asks_ends_with_it_and_what_it_commits_does_not(
    store: SqlConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: dict[str, float] = {}

    async def respond(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        left["brain"] = time_left(1_000.0)
        return BrainReply(text="Done.", state=turn.state, brain="embedded")

    commit = store.commit

    async def watched(turn: TurnCommit) -> Lease | None:
        left["commit"] = time_left(1_000.0)
        return await commit(turn)

    monkeypatch.setattr(store, "commit", watched)
    turns = pipeline(store, respond, deadline=5.0)
    submitted = await turns.submit(say("Hello"))
    await turns.wait("default", submitted.turn_id, seconds=5.0)

    assert 0 < left["brain"] <= 5.0
    assert left["commit"] == 1_000.0


async def test_the_reply_is_exactly_what_was_streamed(store: SqlConversationStore) -> None:
    async def two_pieces(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await out.text("Forget this.")
        await out.reset()
        await out.text("One. ")
        await out.text("Two.")
        return BrainReply(text="One. Two.", state=turn.state)

    turns = pipeline(store, two_pieces)
    submission = await turns.submit(say("hello"))

    events = [event async for _, event in turns.events("default", submission.turn_id)]

    assert "".join(event.text for event in events if isinstance(event, Delta)) == "Forget this.One. Two."
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result is not None
    assert text_of(last.result) == "One. Two."


async def test_late_listeners_get_the_stored_answer(store: SqlConversationStore) -> None:
    turns = pipeline(store, echo)
    result = await answer(turns, say("hello"))

    events = [event async for _, event in turns.events("default", result.turn_id)]

    assert events == [Delta(text="You said: hello"), Finished(result=result)]


async def test_tools_run_for_the_conversations_owner_not_for_the_sender(store: SqlConversationStore) -> None:
    async def looks_up(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await tools.call("customer_info", {})
        return await echo(turn, tools, out)

    tools = FakeTools()
    turns = pipeline(store, looks_up, tools)
    mine = await answer(turns, say("hello"))
    server = Caller(kind=CallerKind.SERVER, name="shop", customer_id=None)
    await answer(turns, say("hello again", to=mine.conversation_id, by=server))

    assert [(call.caller.kind, call.caller.customer_id) for call in tools.calls] == [
        (CallerKind.CUSTOMER, "kim"),
        (CallerKind.CUSTOMER, "kim"),
    ]


async def test_a_visitors_tools_run_without_an_account(store: SqlConversationStore) -> None:
    async def looks_up(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await tools.call("customer_info", {})
        return await echo(turn, tools, out)

    tools = FakeTools()
    visitor = Caller(kind=CallerKind.VISITOR, customer_id="anon_1")
    await answer(pipeline(store, looks_up, tools), say("hello", by=visitor))

    assert not tools.calls[0].caller.has_account


async def test_a_handed_over_conversation_gets_no_brain(store: SqlConversationStore) -> None:
    seen: list[str] = []

    async def hands_over(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        seen.append(turn.text)
        await tools.call("handoff", {})
        return await echo(turn, tools, out)

    turns = pipeline(store, hands_over)
    first = await answer(turns, say("a person please"))
    second = await answer(turns, say("are you there?", to=first.conversation_id))

    assert first.status is TurnStatus.HANDED_OVER
    assert second.status is TurnStatus.HANDED_OVER
    assert "A person from our team" in text_of(second)
    assert seen == ["a person please"]


async def test_messages_that_waited_for_a_handover_get_no_brain_either(store: SqlConversationStore) -> None:
    gate = asyncio.Event()
    seen: list[str] = []

    async def hands_over(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        seen.append(turn.text)
        await gate.wait()
        await tools.call("handoff", {})
        return await echo(turn, tools, out)

    turns = pipeline(store, hands_over)
    first = await turns.submit(say("a person please"))
    second = await turns.submit(say("quickly", to=first.conversation_id))
    gate.set()
    result = await turns.wait("default", second.turn_id, seconds=5)

    assert result is not None
    assert result.status is TurnStatus.HANDED_OVER
    assert seen == ["a person please"]


async def test_the_same_effect_of_a_repeated_turn_has_the_same_key(store: SqlConversationStore) -> None:
    """The second run searches more before it opens the ticket."""
    searches = iter((0, 2))

    async def opens(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        for _ in range(next(searches)):
            await tools.call("search_knowledge", {})
        await tools.call("open_ticket", {})
        if turn.deadline.remaining() and not interrupted.is_set():
            interrupted.set()
            await asyncio.sleep(60)
        return await echo(turn, tools, out)

    interrupted = asyncio.Event()
    tools = FakeTools()
    dying = pipeline(store, opens, tools)
    submission = await dying.submit(say("my bike is broken", as_id="m1"))
    await interrupted.wait()
    await dying.drain(0)
    (lease,) = await store.claim_unanswered(limit=10)
    living = pipeline(store, opens, tools)
    living.resume(lease)
    result = await living.wait("default", submission.turn_id, seconds=5)

    first, again = (call.key for call in tools.calls if call.key)
    assert result is not None
    assert result.turn_id == submission.turn_id
    assert first == again


async def test_tools_know_the_senders_address_whoever_runs_the_turn(store: SqlConversationStore) -> None:
    """No token is there when a sweeper takes the turn up: the address was stored with the message."""

    async def asks(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await tools.call("open_ticket", {})
        if not interrupted.is_set():
            interrupted.set()
            await asyncio.sleep(60)
        return await echo(turn, tools, out)

    interrupted = asyncio.Event()
    tools = FakeTools()
    dying = pipeline(store, asks, tools)
    signed = replace(say("my bike is broken"), caller=replace(KIM, email="kim@shop.example"))
    submission = await dying.submit(signed)
    await interrupted.wait()
    await dying.drain(0)
    (lease,) = await store.claim_unanswered(limit=10)
    living = pipeline(store, asks, tools)
    living.resume(lease)
    await living.wait("default", submission.turn_id, seconds=5)
    without = await living.submit(say("and now?", to=submission.conversation_id))
    await living.wait("default", without.turn_id, seconds=5)

    assert [call.caller.email for call in tools.calls] == ["kim@shop.example", "kim@shop.example", None]
    assert {call.caller.kind for call in tools.calls} == {CallerKind.CUSTOMER}


async def test_a_slip_in_the_arguments_moves_no_key(store: SqlConversationStore) -> None:
    class PickyTools(FakeTools):
        async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome:
            outcome = await super().call(name, arguments, call)
            if arguments:
                return outcome
            slip = ErrorContext(
                error_type=ErrorType.VALIDATION_ERROR, message="no subject", timestamp=turn_time
            )
            return replace(outcome, error=slip)

    async def slips_first(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        for arguments in ({}, {"subject": "bike"}, {"subject": "bell"}):
            await tools.call("open_ticket", arguments)
        return await echo(turn, tools, out)

    turn_time = SystemClock().now()
    tools = PickyTools()

    await answer(pipeline(store, slips_first, tools), say("my bike is broken"))

    slip, first, second = tools.calls
    assert slip.key == first.key != second.key
    assert len({call.call_id for call in tools.calls}) == 3


async def test_a_commit_that_nobody_took_is_tried_again(database: Database) -> None:
    class BusyStore(SqlConversationStore):
        refusals = 2

        async def commit(self, commit: TurnCommit) -> Lease | None:
            if self.refusals:
                self.refusals -= 1
                raise DependencyTimeout("sql")
            return await super().commit(commit)

    result = await answer(pipeline(BusyStore(database, owner="one", lease_seconds=5), echo), say("hello"))

    assert text_of(result) == "You said: hello"


async def test_a_turn_that_failed_is_run_again_for_who_asks_again_and_not_when_its_lease_runs_out(
    database: Database,
) -> None:
    class AwayOnce(SqlConversationStore):
        loads = 0
        refused_releases = 1
        releases = 0

        async def load(self, lease: Lease, *, history_messages: int) -> Snapshot:
            self.loads += 1
            if self.loads == 1:
                raise StateLoadFailed("nobody has it")
            return await super().load(lease, history_messages=history_messages)

        async def release(self, lease: Lease) -> bool:
            self.releases += 1
            if self.refused_releases:
                self.refused_releases -= 1
                return False
            return await super().release(lease)

    store = AwayOnce(database, owner="one", lease_seconds=3600)
    turns = pipeline(store, echo)
    with pytest.raises(StateLoadFailed):
        await answer(turns, say("hello", as_id="1"))

    result = await answer(turns, say("hello", as_id="1"))

    await asyncio.gather(*turns._running)

    assert text_of(result) == "You said: hello"
    assert store.releases == 2  # the one that was heard was the last


async def test_a_turn_that_a_repeated_commit_names_again_is_run_once(database: Database) -> None:
    """The answer to the commit was lost, and the next message has begun its own turn by the time it is repeated."""
    carried_out, was_repeated = asyncio.Event(), asyncio.Event()

    class LosesTheAnswer(SqlConversationStore):
        async def commit(self, commit: TurnCommit) -> Lease | None:
            following = await super().commit(commit)
            if not carried_out.is_set():
                carried_out.set()
                raise DependencyTimeout("sql", may_have_happened=True)
            was_repeated.set()
            return following

    ran: list[str] = []

    async def slow(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        ran.append(turn.text)
        if turn.text == "two":
            await was_repeated.wait()
            await asyncio.sleep(0.05)
        return await echo(turn, tools, out)

    turns = pipeline(LosesTheAnswer(database, owner="one", lease_seconds=5), slow)
    one = await turns.submit(say("one", as_id="1"))
    await carried_out.wait()
    two = await turns.submit(say("two", to=one.conversation_id, as_id="2"))
    result = await turns.wait("default", two.turn_id, seconds=5)

    assert result is not None
    assert text_of(result) == "You said: two"
    assert ran == ["one", "two"]


async def test_an_effect_ends_before_its_turn_does(store: SqlConversationStore) -> None:
    left: list[float] = []

    class SlowTools(FakeTools):
        async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome:
            left.append(call.deadline.remaining())
            return await super().call(name, arguments, call)

    async def notifies(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        await tools.call("notify", {})
        left.append(turn.deadline.remaining())
        return await echo(turn, tools, out)

    await answer(pipeline(store, notifies, SlowTools()), say("write to me"))

    assert left[0] < left[1] - 0.3


async def test_when_it_goes_away_everybody_who_waits_is_told_to_come_back(
    store: SqlConversationStore,
) -> None:
    async def endless(turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        started.set()
        await asyncio.sleep(60)
        raise AssertionError

    started = asyncio.Event()
    turns = pipeline(store, endless, deadline=60)
    running = await turns.submit(say("one", as_id="m1"))
    await started.wait()
    queued = await turns.submit(say("two", to=running.conversation_id, as_id="m2"))

    async def last_event(submission: Submission) -> TurnEvent:
        return [event async for _, event in turns.events("default", submission.turn_id)][-1]

    async with asyncio.timeout(3):
        ends = asyncio.gather(
            last_event(running),
            last_event(queued),
            turns.wait("default", running.turn_id, seconds=60),
            turns.wait("default", queued.turn_id, seconds=60),
        )
        await asyncio.sleep(0.1)
        await turns.drain(0)
        drained, also_drained, *results = await ends

    assert isinstance(drained, Drain)
    assert isinstance(also_drained, Drain)
    assert results == [None, None]


async def test_what_is_accepted_while_it_goes_away_is_left_to_another_replica(
    store: SqlConversationStore,
) -> None:
    leaving = pipeline(store, echo)
    await leaving.drain(0)
    submission = await leaving.submit(say("hello"))
    await leaving.drain(1)

    (lease,) = await store.claim_unanswered(limit=5)

    assert lease.turn_id == submission.turn_id
    assert await leaving.wait("default", submission.turn_id, seconds=1) is None
