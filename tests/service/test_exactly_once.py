"""
Claims about tickets for a desk that writes and does not answer, refuses and is killed: none is there twice, none is forgotten.

The long form is `python -m tests.service.exactly_once`.
"""

from pathlib import Path

import pytest

from core.ids import receipt_for
from core.messages import ActionStatus
from core.records import Recognition
from tests.service.exactly_once import Outcome, run

REQUESTS = 200


async def _outcome(recognition: Recognition, folder: Path) -> Outcome:
    found = await run(recognition, folder, requests=REQUESTS, kills=3)
    assert len(found.first) == REQUESTS
    assert ActionStatus.FAILED not in found.first.values()
    return found


@pytest.mark.parametrize("recognition", [Recognition.KEY, Recognition.LOOKUP])
async def test_a_desk_that_recognises_a_key_or_a_reference_has_exactly_one_ticket_for_each(
    recognition: Recognition, tmp_path: Path
) -> None:
    found = await _outcome(recognition, tmp_path)

    assert {key: found.tickets.get(key, 0) for key in found.first} == dict.fromkeys(found.first, 1)
    assert len(found.tickets) == REQUESTS
    assert found.uncertain == []
    for key, status in found.first.items():
        if status is not ActionStatus.SUCCEEDED:
            assert f"{receipt_for(key)} is now ticket #" in found.told[key][-1]
        if status is ActionStatus.UNKNOWN:
            assert found.ledger[key] == "confirmed"


async def test_a_desk_that_recognises_nothing_has_none_twice_and_leaves_the_doubtful_ones_to_a_person(
    tmp_path: Path,
) -> None:
    found = await _outcome(Recognition.NONE, tmp_path)

    assert max(found.tickets.values()) == 1
    assert found.uncertain
    for key in found.first:
        if key in found.uncertain:
            assert found.queue[key].error == "fate_unknown"
            assert sum("I cannot tell whether" in said for said in found.told[key]) == 1
        else:
            assert found.tickets.get(key) == 1
