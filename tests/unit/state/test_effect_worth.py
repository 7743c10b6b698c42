"""Of two things that are known of one effect, that counts for more which keeps it from being done again."""

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest

from core.records import EffectRecord
from state.journal import counts_for_more

Status = Literal["intent", "confirmed", "queued", "unknown", "failed"]


def known(status: Status, run: str = "a", *, is_journaled: bool = False) -> EffectRecord:
    return EffectRecord(
        tenant="default",
        key="k",
        turn_id="t",
        step=1,
        tool="notify",
        arguments={"run": run},
        status=status,
        is_journaled=is_journaled,
    )


FROM_LEAST_TO_MOST = [
    known("failed"),
    known("intent", is_journaled=True),
    known("queued"),
    known("intent"),
    known("unknown"),
    known("confirmed"),
]


@pytest.mark.parametrize(("less", "more"), list(pairwise(FROM_LEAST_TO_MOST)))
def test_what_may_have_happened_counts_for_more_than_what_has_not(
    less: EffectRecord, more: EffectRecord
) -> None:
    of_another_run = replace(less, arguments={"run": "b"})

    assert counts_for_more(more, of_another_run)
    assert not counts_for_more(of_another_run, more)


@pytest.mark.parametrize("status", ["failed", "queued", "unknown", "confirmed"])
def test_a_plan_takes_whatever_its_own_run_came_to(status: Status) -> None:
    assert counts_for_more(known(status), known("intent"))
    assert not counts_for_more(known("intent"), known("intent"))


def test_anything_counts_for_more_than_nothing() -> None:
    assert counts_for_more(known("failed"), None)
