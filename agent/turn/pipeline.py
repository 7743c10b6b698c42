"""
Take a message in, have exactly one turn answer it, hand the answer to whoever waits.

The state protocol lives below (`state.recovery`), deciding and wording above (`agent.brain`); this module only puts the steps of
docs/architecture.md in order, and sees to it that every accepted message gets a reply.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Protocol

from agent.brain.base import Brain, BrainReply, TurnInput
from agent.turn import confirmation
from agent.turn.agents import Agent, Agents, agent_for
from agent.turn.answers import DRAIN_RETRY_MS, Answers
from agent.turn.calling import TeamAddress
from agent.turn.effects import ToolRunner, TurnTools
from agent.turn.inputs import ChatRequest, Drain, Finished, Submission, TurnEvent
from agent.turn.keeping import Keeper
from agent.turn.sentences import sentence
from agent.turn.sharing import Sharing
from agent.turn.steps import earlier_replies, is_with_a_person, search_context, turn_commit, turn_input
from agent.turn.stream import TurnStream
from core.clock import Clock
from core.errors import (
    CarelineError,
    DependencyError,
    DependencyTimeout,
    DependencyUnavailable,
    ErrorContext,
    ErrorType,
    LeaseLost,
    StateError,
)
from core.explanation import Explanation, explaining, note
from core.identity import unnamed_customer
from core.ids import new_id
from core.messages import DegradedPart, Durability, Message, Timings, TurnResult, TurnStatus
from core.records import OutboxItem
from core.resilience.deadline import Deadline, within
from core.resilience.timelimit import TimeLimit
from core.telemetry.logging import StructuredErrorLogger, bound_ids, get_logger
from state.models import CustomerState
from state.store import (
    ConversationRecord,
    ConversationStore,
    IncomingMessage,
    Lease,
    Snapshot,
    TurnCommit,
    TurnEvents,
    TurnRecord,
)

_COMMIT_PAUSES = (0.1, 0.3, 0.9)
"""Between the tries of a commit: giving up would cost the customer the answer, and the wait until the lease runs out."""
_GIVING_BACK_PAUSES = (0.0, 1.0, 3.0, 6.0)
_TOOLS_RESERVE_SECONDS = 0.5
"""Tools end this much before their turn: one that is cancelled with it cannot say whether it acted."""

log = get_logger(__name__)


class Degradation(Protocol):
    def is_down(self, dependency: str) -> bool: ...

    def parts(
        self, pairs: Sequence[tuple[str, str]], locale: str, *, copy_date: date | None = None
    ) -> tuple[DegradedPart, ...]: ...


class Explanations(Protocol):
    """Where it is kept why turns were answered as they were. `agent.workers.explanations` implements it."""

    def begin(self) -> Explanation: ...

    def keep(self, tenant: str, turn_id: str, explanation: Explanation) -> None:
        """Costs the turn next to nothing, and never fails."""
        ...


class OnRecord(Protocol):
    """What the company's directory knows of the customer's language. `agent.turn.on_record` implements it."""

    async def learned(self, snapshot: Snapshot) -> CustomerState: ...


class TurnMetrics(Protocol):
    def turn_finished(self, result: TurnResult, *, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPolicy:
    deadline_seconds: float
    lease_seconds: float
    history_messages: int
    handoff_timeout: timedelta
    default_locale: str = "en"
    team: tuple[TeamAddress, ...] = ()
    """Who is called when a conversation is handed over."""


class TurnPipeline:
    """Implements `agent.turn.inputs.Turns`. `drain()` before closing what it was given."""

    def __init__(
        self,
        *,
        store: ConversationStore,
        brain: Brain,
        tools: ToolRunner,
        degradation: Degradation,
        metrics: TurnMetrics,
        policy: TurnPolicy,
        clock: Clock,
        events: TurnEvents | None = None,
        promised: Callable[[Sequence[OutboxItem]], None] | None = None,
        explanations: Explanations | None = None,
        on_record: OnRecord | None = None,
        agents: Agents | None = None,
    ) -> None:
        """
        `brain` and `tools` answer where nothing is deployed. `promised` hears of effects that are to be carried out later, once
        they are stored.
        """
        self._own = Agent(brain=brain, tools=tools, default_locale=policy.default_locale)
        self._agents = agents
        self._explanations = explanations
        self._on_record = on_record
        self._store = store
        self._promised = promised
        self._degradation = degradation
        self._metrics = metrics
        self._policy = policy
        self._clock = clock
        self._errors = StructuredErrorLogger(log)
        self._events = events
        self._answers = Answers(store, events, take_up=self._resume_all, clock=clock)
        self._streams = self._answers.streams
        self._sharings: dict[str, Sharing] = {}
        self._leaving = asyncio.Event()
        self._running: set[asyncio.Task[object]] = set()

    # -- taking messages in ------------------------------------------------------------------------------------------

    async def submit(self, request: ChatRequest) -> Submission:
        client_message_id = request.client_message_id or new_id("cm")
        caller = request.caller
        began = self._clock.monotonic()
        intake = await self._store.intake(
            IncomingMessage(
                tenant=caller.tenant,
                principal=caller.principal,
                customer_id=await self._customer_of(request, client_message_id),
                conversation_id=request.conversation_id,
                client_message_id=client_message_id,
                text=request.message,
                locale=request.locale or caller.locale,
                channel=request.channel,
                at=self._clock.now(),
                metadata=request.metadata,
                handed_over_reply=sentence("handed_over", request.locale or caller.locale),
                email=caller.email,
            )
        )
        if intake.lease is not None:
            self.resume(intake.lease, save_seconds=self._clock.monotonic() - began)
        return Submission(
            conversation_id=intake.conversation_id,
            turn_id=intake.turn_id,
            message_id=intake.message_id,
            durability=intake.durability,
            result=intake.result,
        )

    async def _customer_of(self, request: ChatRequest, client_message_id: str) -> str:
        """The caller's customer; where the caller acts for nobody in particular, the conversation's own, or a new one."""
        caller = request.caller
        if caller.customer_id is not None:
            return caller.customer_id
        if request.conversation_id is not None:
            conversation = await self._store.conversation(caller.tenant, request.conversation_id)
            if conversation is not None:
                return conversation.customer_id
        return unnamed_customer(caller.tenant, caller.principal, client_message_id)

    # -- handing answers out -----------------------------------------------------------------------------------------

    async def wait(self, tenant: str, turn_id: str, *, seconds: float) -> TurnResult | None:
        return await self._answers.wait(tenant, turn_id, seconds=seconds)

    def events(self, tenant: str, turn_id: str, *, after: int = 0) -> AsyncIterator[tuple[int, TurnEvent]]:
        return self._answers.follow(tenant, turn_id, after=after)

    async def stop(self, tenant: str, turn_id: str) -> None:
        sharing = self._sharings.get(turn_id)
        if sharing is not None:
            sharing.is_stop_asked = True
        elif self._events is not None:
            await self._events.ask_to_stop(tenant, turn_id)

    @property
    def leaving(self) -> asyncio.Event:
        return self._leaving

    async def turn(self, tenant: str, turn_id: str) -> TurnRecord | None:
        return await self._store.turn(tenant, turn_id)

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None:
        return await self._store.conversation(tenant, conversation_id)

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        return await self._store.messages(tenant, conversation_id, after=after, limit=limit)

    async def claim_conversation(
        self, tenant: str, conversation_id: str, *, visitor: str, customer: str
    ) -> None:
        await self._store.claim_conversation(tenant, conversation_id, visitor=visitor, customer=customer)

    # -- running turns -----------------------------------------------------------------------------------------------

    def resume(self, lease: Lease, *, save_seconds: float = 0.0) -> None:
        """
        Run the lease's turn, and those that follow it, in the background; after `drain`, leave it to another replica.

        `save_seconds` is what storing the message took that began the turn; a turn that is taken up later has none. One lease
        can come twice: a commit that is repeated, because nobody heard what it came to, names the turn that has begun since.
        """
        if self._is_running(lease):
            return
        if self._answers.leaving.is_set():
            self._start(self._store.release(lease))
            return
        self._streams[lease.turn_id] = TurnStream(lease.run)
        self._start(self._run(lease, save_seconds))

    def _is_running(self, lease: Lease) -> bool:
        stream = self._streams.get(lease.turn_id)
        return stream is not None and stream.run == lease.run

    def _resume_all(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            log.info("turn.taken_up", conversation_id=lease.conversation_id, turn_id=lease.turn_id)
            self.resume(lease)

    async def drain(self, seconds: float) -> None:
        """Let running turns finish for `seconds`, then tell who still waits to come back, and leave them to other replicas."""
        self._leaving.set()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        self._answers.leaving.set()
        for stream in self._streams.values():
            stream.finish(Drain(retry_ms=DRAIN_RETRY_MS))
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, lease: Lease, save_seconds: float) -> None:
        following: Lease | None = lease
        while following is not None:
            lease = following
            stream = self._streams.get(lease.turn_id)
            if stream is None or stream.run != lease.run:
                stream = self._streams[lease.turn_id] = TurnStream(lease.run)
            sharing = self._sharings[lease.turn_id] = Sharing(self._events, lease, stream)
            try:
                following, result = await self._turn(lease, stream, sharing, save_seconds)
                if following is not None and self._is_running(following):
                    following = None
                save_seconds = 0.0
                stream.finish(Finished(result=result))
                if sharing.has_begun:
                    self._start(sharing.close())
            except asyncio.CancelledError:
                await self._store.release(lease)
                raise
            except LeaseLost:
                log.warning("turn.fenced", turn_id=lease.turn_id, token=lease.token)
                stream.finish(Finished(result=None))
                following = None
            except Exception as exc:  # those who wait must hear of it; the sweeper runs the turn again
                self._report(exc, lease.conversation_id)
                stream.finish(Finished(result=None, error=exc))
                following = None
                if isinstance(exc, DependencyError | StateError):
                    self._start(self._give_back(lease))
            finally:
                if self._streams.get(lease.turn_id) is stream:
                    del self._streams[lease.turn_id]
                if self._sharings.get(lease.turn_id) is sharing:
                    del self._sharings[lease.turn_id]

    async def _give_back(self, lease: Lease) -> None:
        """
        So that whoever asks again need not wait until the lease has run out. Said until it is heard: what failed the turn may
        keep SQL from hearing of it, and a lease that has been given back, or taken by another run, is not touched again.
        """
        for pause in _GIVING_BACK_PAUSES:
            await self._clock.sleep(pause)
            if await self._store.release(lease):
                return

    async def _turn(
        self, lease: Lease, stream: TurnStream, sharing: Sharing, save_seconds: float
    ) -> tuple[Lease | None, TurnResult]:
        explanation = self._explanations.begin() if self._explanations is not None else None
        with bound_ids(conversation_id=lease.conversation_id, turn_id=lease.turn_id), explaining(explanation):
            started = self._clock.monotonic()
            deadline = Deadline(self._clock, self._policy.deadline_seconds)
            await stream.status("thinking")
            with within(deadline):
                snapshot = await self._store.load(lease, history_messages=self._policy.history_messages)
                loaded = self._clock.monotonic()
                note(
                    "loaded", source=snapshot.source, history=len(snapshot.history), fresh=len(snapshot.fresh)
                )
                agent, snapshot = agent_for(snapshot, self._agents, own=self._own)
                knew = snapshot.customer_state
                if self._on_record is not None:
                    snapshot = replace(snapshot, customer_state=await self._on_record.learned(snapshot))
                turn = turn_input(
                    snapshot,
                    lease,
                    now=self._clock.now(),
                    deadline=deadline,
                    default_locale=agent.default_locale,
                )
                tools = self._tools_for(agent, turn, snapshot, lease, stream)
                if is_with_a_person(snapshot.conversation, turn.now):
                    brain = await self._wait_for_person(agent, turn, stream)
                else:
                    thinking = self._think(agent.brain, turn, tools, stream)
                    brain = await self._keeper(lease, sharing, tools).during(thinking)
            await stream.become(brain.text)

            thought = self._clock.monotonic()
            timings = Timings(
                total=_ms(thought - started + save_seconds),
                load=_ms(loaded - started),
                brain=_ms(thought - loaded - tools.seconds),
                tools=_ms(tools.seconds),
                save=_ms(save_seconds),
            )
            commit = turn_commit(
                turn,
                lease,
                brain,
                tools,
                degraded=self._degraded(turn, lease, brain, tools),
                timings=timings,
                handoff_timeout=self._policy.handoff_timeout,
                knew=knew,
                team=self._policy.team,
                agent=agent.named,
            )
            following = await self._committed(commit)
            if self._explanations is not None and explanation is not None:
                self._explanations.keep(lease.tenant, lease.turn_id, explanation)
            if commit.outbox and self._promised is not None:
                self._promised(commit.outbox)
            self._metrics.turn_finished(commit.result, seconds=self._clock.monotonic() - started)
            log.info(
                "turn.answered",
                status=commit.result.status,
                brain=brain.brain,
                durability=lease.durability,
                tools=[action.tool for action in tools.actions],
                degraded=[f"{part.feature}:{part.dependency}" for part in commit.result.degraded],
                total_ms=timings.total,
                **agent.ids,
            )
            return following, commit.result

    async def _committed(self, commit: TurnCommit) -> Lease | None:
        """Tried again where nobody could be asked: a commit that is written already says what it came to."""
        for pause in _COMMIT_PAUSES:
            try:
                return await self._store.commit(commit)
            except (DependencyUnavailable, DependencyTimeout) as exc:
                log.warning("turn.commit_repeated", dependency=exc.dependency, reason=exc.reason)
            await self._clock.sleep(pause)
        return await self._store.commit(commit)

    def _tools_for(
        self, agent: Agent, turn: TurnInput, snapshot: Snapshot, lease: Lease, stream: TurnStream
    ) -> TurnTools:
        async def reload_state() -> None:
            """Somebody else changed what a tool works on: make sure that this turn still owns the conversation."""
            await self._store.load(replace(lease, basis=None), history_messages=self._policy.history_messages)

        return TurnTools(
            agent.tools,
            caller=turn.caller,
            conversation_id=lease.conversation_id,
            turn_id=lease.turn_id,
            locale=turn.locale,
            fresh=turn.fresh,
            context=search_context(snapshot),
            replies=earlier_replies(snapshot),
            deadline=self._tools_deadline(turn),
            reload_state=reload_state,
            out=stream,
            clock=self._clock,
            confirmed=confirmation.confirmed_in(turn),
        )

    def _keeper(self, lease: Lease, sharing: Sharing, tools: TurnTools) -> Keeper:
        renew_seconds = self._policy.lease_seconds / 3
        return Keeper(self._store, lease, sharing, tools, clock=self._clock, renew_seconds=renew_seconds)

    def _tools_deadline(self, turn: TurnInput) -> Deadline:
        left = turn.deadline.remaining()
        return Deadline(self._clock, left - min(_TOOLS_RESERVE_SECONDS, left / 2))

    async def _think(self, brain: Brain, turn: TurnInput, tools: TurnTools, stream: TurnStream) -> BrainReply:
        """The brain's reply; when it fails or outlives the deadline, what was shown so far and an honest sentence."""
        try:
            with TimeLimit(turn.deadline.remaining()):
                return await confirmation.respond(brain, turn, tools, stream)
        except TimeoutError:
            log.warning("turn.deadline_passed")
            note("deadline_passed")
            closing = sentence("out_of_time", turn.locale)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not tools.is_stopped or task is None:
                raise
            task.uncancel()
            log.info("turn.stopped")
            note("stopped")
            closing = sentence("stopped", turn.locale)
        except LeaseLost:
            raise
        except Exception as exc:  # an accepted message gets a reply, whatever a brain does
            self._report(exc, turn.conversation_id, customer_id=turn.caller.customer_id)
            note("brain_failed", error=type(exc).__name__)
            await stream.reset()
            closing = sentence("went_wrong", turn.locale)
        receipts = "".join(f"\n\n{action.summary}" for action in tools.actions if action.receipt)
        await stream.text(("\n\n" if stream.shown else "") + closing + receipts)
        return BrainReply(text=stream.shown, state=turn.state, brain=brain.name, spent=None)

    async def _wait_for_person(self, agent: Agent, turn: TurnInput, stream: TurnStream) -> BrainReply:
        """Messages that waited while the turn before them handed the conversation over."""
        await stream.text(sentence("handed_over", turn.locale))
        return BrainReply(
            text=stream.shown, state=turn.state, status=TurnStatus.HANDED_OVER, brain=agent.brain.name
        )

    def _degraded(
        self, turn: TurnInput, lease: Lease, brain: BrainReply, tools: TurnTools
    ) -> tuple[DegradedPart, ...]:
        pairs = [*brain.degraded, *tools.degraded]
        searched_as_of = tools.searched_as_of
        if lease.durability is Durability.REDIS:
            pairs.append(("conversation", "sql"))
            if searched_as_of is not None:
                pairs.append(("knowledge_search", "sql"))
        return self._degradation.parts(pairs, turn.locale, copy_date=searched_as_of)

    def _report(self, exc: Exception, conversation_id: str, *, customer_id: str | None = None) -> None:
        context = ErrorContext(
            error_type=exc.error_type if isinstance(exc, CarelineError) else ErrorType.INTERNAL_ERROR,
            message=str(exc),
            timestamp=self._clock.now(),
            customer_id=customer_id,
            conversation_id=conversation_id,
        )
        self._errors.log_conversation_error(context, exc=exc)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
