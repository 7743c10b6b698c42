"""Explanations are stored beside the turns: redacted, in batches, and given up before they stand in the way."""

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from agent.workers.explanations import Explanations
from core.errors import DataIntegrityFailed, DependencyUnavailable
from core.explanation import (
    Explanation,
    KeptExplanation,
    TurnRecording,
    explaining,
    is_recorded,
    note,
    record,
    used,
)
from tests.fakes import FakeClock


class MemoryStore:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self.batches: list[int] = []
        self.is_away = False

    async def keep(self, explanations: Sequence[KeptExplanation]) -> None:
        if self.is_away:
            raise DependencyUnavailable("sql")
        self.batches.append(len(explanations))
        for each in explanations:
            self.kept.setdefault((each.tenant, each.turn_id), each.body)

    async def explanation(self, tenant: str, turn_id: str) -> bytes | None:
        return self.kept.get((tenant, turn_id))


def noted(explanations: Explanations, **facts: object) -> Explanation:
    explanation = explanations.begin()
    with explaining(explanation):
        note("judged", **facts)
    return explanation


async def test_what_is_noted_inside_a_turn_belongs_to_it_alone() -> None:
    clock = FakeClock()
    first, second = Explanation(clock), Explanation(clock)

    async def turn(explanation: Explanation, name: str) -> None:
        with explaining(explanation):
            await asyncio.sleep(0)
            await asyncio.create_task(_noting(name))

    async def _noting(name: str) -> None:
        note("judged", name=name)

    await asyncio.gather(turn(first, "a"), turn(second, "b"))
    note("judged", name="nobody's")

    assert [step.facts for step in first.steps] == [{"name": "a"}]
    assert [step.facts for step in second.steps] == [{"name": "b"}]


async def test_an_operator_may_ask_before_the_batch_is_due() -> None:
    explanations = Explanations(MemoryStore(), clock=FakeClock())
    explanations.keep("default", "turn_1", noted(explanations, verdict="answers"))

    kept = await explanations.of_turn("default", "turn_1")

    assert kept is not None
    assert kept.steps == ({"kind": "judged", "at_ms": 0.0, "verdict": "answers"},)


async def test_addresses_numbers_and_secrets_are_not_stored() -> None:
    store = MemoryStore()
    explanations = Explanations(store, clock=FakeClock())
    facts = {
        "wishes": [{"text": "write to anna@alvarez.example or +49 170 5550123, card 4111 1111 1111 1111"}],
        "arguments": {"password": "hunter2", "query": "reset my kettle"},
    }

    explanations.keep("default", "turn_1", noted(explanations, **facts))
    await explanations.store_waiting()

    (body,) = store.kept.values()
    assert not [secret for secret in (b"anna@", b"5550123", b"4111", b"hunter2") if secret in body]
    assert b"reset my kettle" in body


async def test_what_cannot_be_stored_waits_and_is_stored_in_batches() -> None:
    store = MemoryStore()
    explanations = Explanations(store, clock=FakeClock())
    store.is_away = True
    for n in range(250):
        explanations.keep("default", f"turn_{n}", noted(explanations, n=n))
    await explanations.store_waiting()

    store.is_away = False
    await explanations.store_waiting()
    await explanations.store_waiting()

    assert store.batches == [100, 100, 50]
    assert len(store.kept) == 250


async def test_the_oldest_are_given_up_when_too_many_wait() -> None:
    store = MemoryStore()
    explanations = Explanations(store, clock=FakeClock())
    for n in range(2100):
        explanations.keep("default", f"turn_{n}", noted(explanations, n=n))

    await explanations.store_waiting()

    assert len(store.kept) == 2000
    assert ("default", "turn_99") not in store.kept
    assert ("default", "turn_100") in store.kept


async def test_a_turn_without_end_is_cut_and_says_so() -> None:
    explanations = Explanations(MemoryStore(), clock=FakeClock())
    explanation = explanations.begin()
    with explaining(explanation):
        for _ in range(150):
            note("sentence_removed", sentence="word " * 300)
        for _ in range(100):
            note("repeat")

    explanations.keep("default", "turn_1", explanation)
    kept = await explanations.of_turn("default", "turn_1")

    assert kept is not None
    assert 0 < len(kept.steps) < 200
    assert len(kept.steps) + kept.left_out == 250


async def test_a_damaged_explanation_is_no_explanation() -> None:
    store = MemoryStore()
    store.kept["default", "turn_1"] = b"\xc1 nonsense"

    with pytest.raises(DataIntegrityFailed):
        await Explanations(store, clock=FakeClock()).of_turn("default", "turn_1")


def recorded(explanations: Explanations, *texts: str) -> Explanation:
    explanation = explanations.begin()
    with explaining(explanation):
        note("judged", verdict="answers")
        used("index", 7)
        for text in texts:
            record(
                "tool",
                tool="search_knowledge",
                text=text,
                args={"query": "kim@lee.example"},
                result={Path("x"): 1},
            )
    return explanation


async def test_what_was_answered_is_kept_as_it_was_where_that_is_wanted() -> None:
    store, recordings = MemoryStore(), MemoryStore()
    explanations = Explanations(store, clock=FakeClock(), recordings=recordings)
    explanations.keep("default", "turn_1", recorded(explanations, "found"))

    await explanations.store_waiting()

    kept = msgspec.msgpack.decode(recordings.kept["default", "turn_1"], type=TurnRecording)
    (call,) = kept.calls
    assert (call["role"], call["tool"], call["args"]) == (
        "tool",
        "search_knowledge",
        {"query": "kim@lee.example"},
    )
    assert call["at"] == FakeClock().now().isoformat()
    assert kept.versions == {"careline": version("careline"), "index": "7"}
    assert await explanations.of_turn("default", "turn_1") is not None


async def test_nothing_is_recorded_unless_it_is_wanted() -> None:
    explanations = Explanations(MemoryStore(), clock=FakeClock())

    assert recorded(explanations, "found").recorded is None
    with explaining(explanations.begin()):
        assert not is_recorded()
    assert not is_recorded()


async def test_recordings_may_be_kept_without_explanations() -> None:
    store, recordings = MemoryStore(), MemoryStore()
    explanations = Explanations(store, clock=FakeClock(), explains=False, recordings=recordings)
    explanations.keep("default", "turn_1", recorded(explanations, "found"))

    await explanations.store_waiting()

    assert (store.batches, recordings.batches) == ([], [1])


async def test_of_a_turn_with_very_long_answers_the_first_are_kept() -> None:
    recordings = MemoryStore()
    explanations = Explanations(MemoryStore(), clock=FakeClock(), recordings=recordings)
    explanations.keep("default", "turn_1", recorded(explanations, *["x" * 200_000] * 5))

    await explanations.store_waiting()

    kept = msgspec.msgpack.decode(recordings.kept["default", "turn_1"], type=TurnRecording)
    assert (len(kept.calls), kept.left_out) == (2, 3)


async def test_recordings_wait_with_their_explanations_while_the_store_is_away() -> None:
    store, recordings = MemoryStore(), MemoryStore()
    explanations = Explanations(store, clock=FakeClock(), recordings=recordings)
    recordings.is_away = True
    explanations.keep("default", "turn_1", recorded(explanations, "found"))
    await explanations.store_waiting()
    recordings.is_away = False

    await explanations.store_waiting()

    assert recordings.batches == [1]
    assert len(store.kept) == 1
