"""The bootstrap finds what is there, does not find what is not there, and says the same twice."""

import random

import numpy as np
import pytest

from agent.replay.results import TimedTurn
from agent.replay.significance import Difference, PairedTurns
from tests.replays import turn

_CONVERSATIONS = 60


def differences(pairs: list[tuple[TimedTurn, TimedTurn]], seed: int = 3) -> dict[str, Difference]:
    paired = PairedTurns()
    for base, new in pairs:
        paired.add(base, new)
    return {each.measure.name: each for each in paired.differences(seed=seed)}


def noisy_pairs(
    chance: random.Random, *, slower: float = 1.0, loses: float = 0.0, conversations: int = _CONVERSATIONS
) -> list[tuple[TimedTurn, TimedTurn]]:
    """Conversations of 1 to 6 turns; some are slow throughout, as the turns of one conversation hang together."""
    pairs = []
    for number in range(conversations):
        usual = chance.lognormvariate(4, 0.5)
        for place in range(1, chance.randint(1, 6) + 1):
            before, now = (usual * chance.lognormvariate(0, 0.2) for _ in range(2))
            cited = ("returns",) if chance.random() < 0.7 else ()
            lost = chance.random() < loses
            pairs.append(
                (
                    turn(f"c{number}", place, latency_ms=before, citations=cited),
                    turn(f"c{number}", place, latency_ms=now * slower, citations=() if lost else cited),
                )
            )
    return pairs


def test_the_same_run_twice_differs_in_nothing() -> None:
    pairs = [(new, new) for _, new in noisy_pairs(random.Random(1))]

    found = differences(pairs)

    assert {(each.change, each.low, each.high, each.word) for each in found.values()} == {(0, 0, 0, "")}


def test_slower_answers_and_lost_citations_are_found_and_nothing_else() -> None:
    found = differences(noisy_pairs(random.Random(1), slower=1.6, loses=0.2))

    assert {name: each.word for name, each in found.items() if each.word} == {
        "cited": "worse",
        "latency_ms": "slower",
        "p95_ms": "slower",
    }
    cited = found["cited"]
    assert cited.low is not None
    assert cited.high is not None
    assert cited.low < cited.change < cited.high < 0


def test_the_other_way_round_it_is_better() -> None:
    pairs = [(new, base) for base, new in noisy_pairs(random.Random(1), slower=1.3, loses=0.2)]

    found = differences(pairs)

    assert {each.word for each in found.values() if each.word} == {"better", "faster"}


def test_a_difference_of_the_clock_that_is_sure_but_small_is_not_called_slower() -> None:
    pairs = [
        (base, turn(base.conversation, base.turn, latency_ms=base.latency_ms * 1.03))
        for base, _ in noisy_pairs(random.Random(1))
    ]

    slower = differences(pairs)["latency_ms"]

    assert slower.is_beyond_chance
    assert slower.word == ""


def test_chance_is_called_worse_seldom_and_intervals_hold_the_truth() -> None:
    """60 pairs of runs without a difference: 5 % may be wrong in all measures together, and somewhat more in each interval."""
    false_alarms = misses = 0
    for number in range(60):
        latency = differences(noisy_pairs(random.Random(number), conversations=40), seed=number)["latency_ms"]
        assert latency.low is not None
        assert latency.high is not None
        false_alarms += latency.is_beyond_chance
        misses += not latency.low <= 0 <= latency.high

    assert false_alarms <= 2
    assert misses <= 9


def test_the_same_seed_says_the_same_and_another_one_nearly_so() -> None:
    pairs = noisy_pairs(random.Random(5), slower=1.1)

    one, again, other = (differences(pairs, seed=seed)["latency_ms"] for seed in (1, 1, 2))

    assert (one.low, one.high) == (again.low, again.high)
    assert (one.low, one.high) != (other.low, other.high)
    assert one.low == pytest.approx(other.low, abs=1.0)


def test_a_mean_has_the_interval_of_the_textbook() -> None:
    """One turn a conversation and normal differences: within a tenth of the t interval."""
    chance = np.random.default_rng(2)
    changes = chance.normal(10, 20, 200)
    pairs = [
        (turn(f"c{number}", latency_ms=500.0), turn(f"c{number}", latency_ms=500.0 + change))
        for number, change in enumerate(changes)
    ]

    found = differences(pairs)["latency_ms"]

    reach = 1.972 * changes.std(ddof=1) / np.sqrt(len(changes))
    assert found.change == pytest.approx(changes.mean(), abs=1e-3)
    assert found.low == pytest.approx(changes.mean() - reach, abs=reach / 10)
    assert found.high == pytest.approx(changes.mean() + reach, abs=reach / 10)


def test_turns_of_one_conversation_count_as_one_witness() -> None:
    """Ten times the same turns of each conversation: no narrower interval."""
    few = noisy_pairs(random.Random(8), slower=1.1)
    many = [
        (
            turn(base.conversation, latency_ms=base.latency_ms),
            turn(new.conversation, latency_ms=new.latency_ms),
        )
        for base, new in few
        for _ in range(10)
    ]

    one, ten = differences(few)["latency_ms"], differences(many)["latency_ms"]

    assert one.low is not None
    assert one.high is not None
    assert ten.low is not None
    assert ten.high is not None
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=1e-3)


def test_too_few_conversations_say_nothing() -> None:
    found = differences(noisy_pairs(random.Random(1), slower=9.0, conversations=7))

    assert {(each.low, each.high, each.word) for each in found.values()} == {(None, None, "")}
    assert found["latency_ms"].change > 0


def test_turns_without_an_answer_have_no_latency_to_compare() -> None:
    pairs = [(turn(f"c{number}"), turn(f"c{number}", error="timeout_error: x")) for number in range(20)]

    found = differences(pairs)

    assert "latency_ms" not in found
    assert "p95_ms" not in found
    assert "overlap" not in found
    assert found["answered"].word == "worse"


def test_no_pairs_no_differences() -> None:
    assert differences([]) == {}
