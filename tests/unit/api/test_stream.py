"""Server-sent events of a turn, without a socket."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
import pytest

from agent.api.stream import SseTurn
from agent.turn.inputs import Delta, Finished, Reset, Submission, TurnEvent
from agent.turn.stream import RETOLD
from core.messages import Durability, Reply, TurnResult, TurnStatus
from tests.service.api_service import MemoryTurns, SpyLog

TAKEN = Submission(conversation_id="conv_1", turn_id="turn_1", message_id="msg_1", durability=Durability.SQL)


def answer(text: str) -> TurnResult:
    return TurnResult(
        conversation_id="conv_1",
        turn_id="turn_1",
        message_id="msg_1",
        status=TurnStatus.ANSWERED,
        reply=Reply(message_id="msg_2", text=text),
    )


class GivenTurns(MemoryTurns):
    """Tells what it is given, with pauses."""

    def __init__(self, *steps: TurnEvent | float) -> None:
        super().__init__()
        self._steps = steps

    async def events(
        self, tenant: str, turn_id: str, *, after: int = 0
    ) -> AsyncIterator[tuple[int, TurnEvent]]:
        n = 0
        for step in self._steps:
            if isinstance(step, int | float):
                await asyncio.sleep(step)
                continue
            n += 1
            if n > after:
                yield n, step


def reading(
    turns: MemoryTurns,
    heartbeat_seconds: float = 15,
    *,
    after: int | None = None,
    result: TurnResult | None = None,
) -> SseTurn:
    return SseTurn(
        turns,
        replace(TAKEN, result=result),
        tenant="default",
        request_id="req_1",
        log=SpyLog(),
        heartbeat_seconds=heartbeat_seconds,
        after=after,
    )


def ids_of(text: str) -> list[int]:
    return [int(line.rpartition(":")[2]) for line in text.splitlines() if line.startswith("id: ")]


async def text_of(stream: SseTurn) -> str:
    return b"".join([chunk async for chunk in stream.chunks()]).decode()


async def test_a_silent_turn_is_kept_alive_by_comments() -> None:
    turns = GivenTurns(0.2, Delta("Here."), Finished(answer("Here.")))

    text = await text_of(reading(turns, heartbeat_seconds=0.03))

    assert text.count(": still here\n\n") >= 3
    assert text.endswith("event: done\ndata: {}\n\n")


async def test_a_turn_that_ran_elsewhere_is_told_whole() -> None:
    text = await text_of(reading(GivenTurns(Finished(answer("Whole.")))))

    assert text.count('event: delta\ndata: {"text":"Whole."}') == 1
    assert text.index("event: delta") < text.index("event: message")


async def test_what_was_shown_and_is_not_the_reply_is_taken_back() -> None:
    text = await text_of(reading(GivenTurns(Delta("Other."), 0.01, Finished(answer("Reply.")))))

    assert text.index('"Other."') < text.index("event: reset") < text.index('{"text":"Reply."}')


async def test_a_reset_between_pieces_that_are_ready_together_keeps_its_place() -> None:
    turns = GivenTurns(Delta("Wrong"), Reset(), Delta("Ri"), Delta("ght"), Finished(answer("Right")))

    text = await text_of(reading(turns))

    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names == ["accepted", "delta", "reset", "delta", "message", "done"]


async def test_a_reader_who_stops_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    chunks = reading(GivenTurns(60.0)).chunks()

    await anext(chunks)
    waiting = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before


async def test_text_with_line_breaks_stays_one_event() -> None:
    text = await text_of(reading(GivenTurns(Finished(answer("a\n\ndata: b\r\nc\u2028d")))))

    assert text.count("\n\n") == 4


async def test_an_answer_that_is_told_again_has_ids_that_grow() -> None:
    text = await text_of(reading(GivenTurns(), result=answer("Whole.")))

    ids = ids_of(text)
    assert [line for line in text.splitlines() if line.startswith("event: ")] == [
        "event: accepted", "event: delta", "event: message", "event: done",
    ]  # fmt: skip
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("is_stored", [True, False])
async def test_who_breaks_off_anywhere_and_resumes_holds_the_reply(is_stored: bool) -> None:
    """A client as docs/api.md allows: it applies what comes after its last id."""
    turns = GivenTurns(Finished(answer("Whole.")))
    result = answer("Whole.") if is_stored else None
    whole = ids_of(await text_of(reading(turns, result=result)))

    for heard in whole[:-2]:
        last = heard
        shown = "Whole." if heard > 0 else ""
        told = await text_of(reading(turns, after=heard, result=result))
        for event in told.strip().split("\n\n"):
            number, name, data = (line.partition(": ")[2] for line in event.splitlines())
            assert int(number.rpartition(":")[2]) > last
            last = int(number.rpartition(":")[2])
            match name:
                case "reset":
                    shown = ""
                case "delta":
                    shown += orjson.loads(data)["text"]
        assert shown == "Whole."
        assert name == "done"


def test_numbers_are_exact_in_javascript() -> None:
    assert 4 * (RETOLD + 10) < 2**53
