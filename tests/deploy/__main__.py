"""
Deploys under faults and kills, on a real control plane: `python -m tests.deploy [--every N [--first K]]`.

Prints the figures that docs/deploy.md quotes; the exit code is 1 when something was not as it must be.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.telemetry.logging import configure_logging
from tests.deploy.faults import Tally, try_faults
from tests.deploy.faulty_plane import FaultyPlane, Lasts
from tests.deploy.kills import try_kills
from tests.deploy.plane_content import client_of
from tests.deploy.scenarios import SCENARIOS, Stage
from tests.deploy.served import served_plane


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every n-th trial")
    parser.add_argument(
        "--first", type=int, default=0, metavar="K", help="of these, begin with this one, from 0"
    )
    given = parser.parse_args()
    configure_logging(level="error", format="json")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="careline-deploy-") as folder:
        tally, kills = asyncio.run(run(Path(folder), every=given.every, first=given.first, done=_dot))
    _show(tally, kills)
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
    return 1 if tally.wrong or any(wrong for _, wrong in kills.values()) else 0


async def run(
    folder: Path, *, every: int, first: int = 0, done: Callable[[], None] = lambda: None
) -> tuple[Tally, dict[str, tuple[int, list[str]]]]:
    tally, kills = Tally(), dict[str, tuple[int, list[str]]]()

    def is_chosen(number: int) -> bool:
        return number % every == first

    async with served_plane(folder) as url, client_of(url) as client:
        stage = Stage(url, client, folder / "trials")
        for scenario in SCENARIOS:
            faulty = FaultyPlane(url)
            async with faulty.between() as faulty_url:
                await try_faults(stage, faulty, faulty_url, scenario, tally, is_chosen=is_chosen, done=done)
        for scenario in SCENARIOS:
            if scenario.refuses is None:
                kills[scenario.name] = await try_kills(stage, scenario, is_chosen=is_chosen, done=done)
    return tally, kills


def _dot() -> None:
    sys.stderr.write(".")
    sys.stderr.flush()


def _show(tally: Tally, kills: dict[str, tuple[int, list[str]]]) -> None:
    out = sys.stdout
    out.write("\n")
    ends = sorted({end for _, _, end in tally.ends})
    for scenario in SCENARIOS:
        out.write(f"{scenario.name}: {tally.calls[scenario.name]} calls\n")
        for lasts in Lasts:
            counts = ", ".join(
                f"{count} {end}" for end in ends if (count := tally.ends[scenario.name, lasts, end])
            )
            out.write(f"  {lasts.value}: {counts}\n")
    for name, (trials, _) in kills.items():
        out.write(f"{name}: killed {trials} times\n")
    wrong = [*tally.wrong, *(said for _, each in kills.values() for said in each)]
    out.write(
        f"{tally.trials} faults, {sum(trials for trials, _ in kills.values())} kills, {len(wrong)} wrong\n"
    )
    for said in wrong:
        out.write(f"  {said}\n")


if __name__ == "__main__":
    sys.exit(main())
