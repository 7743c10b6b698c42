"""
SIGKILL to the process of a deploy at each line of its journal, just before it is on disk and just after.

Run as a program, with the line's number, `before` or `after`, URL and folder, it is the process that dies.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.deploy.journal import FILE, Journal
from agent.deploy.outcome import Result
from tests.careline_process import environment
from tests.deploy.plane_content import by_name, content_of
from tests.deploy.scenarios import Scenario, Stage, deploy

_NEVER = 10_000


async def try_kills(
    stage: Stage,
    scenario: Scenario,
    *,
    is_chosen: Callable[[int], bool] = lambda number: True,
    done: Callable[[], None] = lambda: None,
) -> tuple[int, list[str]]:
    """How many there were, and what was not as it must be: the next run completes, and the one after has nothing to do."""
    applied = await stage.applied(scenario)
    await stage.set(scenario)
    _, lines = await asyncio.to_thread(_deployed, stage, scenario, _NEVER, "after")
    wrong: list[str] = []
    trials = 0
    for number in range(2 * lines):
        if not is_chosen(number):
            continue
        place, when = number // 2 + 1, ("before", "after")[number % 2]
        await stage.set(scenario)
        code, _ = await asyncio.to_thread(_deployed, stage, scenario, place, when)
        trials += 1
        trial = f"{scenario.name}, killed {when} line {place} of {lines}"
        if code != -signal.SIGKILL:
            wrong.append(f"{trial}: it ended with {code}")
        outcome = await deploy(stage.url, stage.folder, scenario.file)
        if outcome.exit_code != 0:
            wrong.append(f"{trial}: the next run ended {outcome.result.value}: {outcome.error}")
        if by_name(await content_of(stage.client)) != applied:
            wrong.append(f"{trial}: the next run did not end as declared")
        if (await deploy(stage.url, stage.folder, scenario.file)).result is not Result.UNCHANGED:
            wrong.append(f"{trial}: a run after that had something to do")
        done()
    return trials, wrong


def _deployed(stage: Stage, scenario: Scenario, place: int, when: str) -> tuple[int, int]:
    """Exit code, and how many lines its journal had."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(place), when, stage.url, str(stage.folder)],
        input=scenario.file,
        text=True,
        capture_output=True,
        check=False,
        env=environment({}),
    )
    lines = [line for line in done.stdout.splitlines() if line == FILE]
    return done.returncode, len(lines)


def _die_at(place: int, when: str) -> None:
    write: Callable[[Journal, Any], None] = Journal._write
    written = 0

    def dying(journal: Journal, line: Any) -> None:
        nonlocal written
        written += 1
        if written == place and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        write(journal, line)
        sys.stdout.write(f"{FILE}\n")
        if written == place:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Journal, "_write", dying)  # noqa: B010 (an assignment would not be typed)


if __name__ == "__main__":
    _die_at(int(sys.argv[1]), sys.argv[2])
    asyncio.run(deploy(sys.argv[3], Path(sys.argv[4]), sys.stdin.read()))
