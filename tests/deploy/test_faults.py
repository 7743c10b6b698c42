"""The short form of `python -m tests.deploy`: some of the faults and kills, of each kind."""

from pathlib import Path

from tests.deploy.__main__ import run

_EVERY = 61


async def test_a_deploy_ends_applied_or_taken_back_whatever_breaks(tmp_path: Path) -> None:
    tally, kills = await run(tmp_path, every=_EVERY, first=7)

    assert tally.wrong == []
    assert [wrong for _, wrong in kills.values()] == [[], []]
    ends = {end for _, _, end in tally.ends}
    assert {"applied", "rolled_back"} <= ends
    assert tally.trials >= 10
