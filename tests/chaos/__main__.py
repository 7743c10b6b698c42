"""
Chaos on real processes: `python -m tests.chaos [ROW …] [--short] [--seed N]`.

Each row starts a service of its own, breaks something under load, heals it, and checks what is left against what clients saw.
The exit code is 1 when a row failed.
"""

import argparse
import asyncio
import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.chaos.ablations import ABLATIONS
from tests.chaos.report import Run
from tests.chaos.rows import ROWS
from tests.chaos.traffic import shown


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        for name, row in ROWS.items():
            print(f"{name:22} {row.fault}")
        return 0
    unknown = set(arguments.rows) - ROWS.keys()
    if unknown:
        print(f"no such row: {', '.join(sorted(unknown))}; --list names them", file=sys.stderr)
        return 2
    runs = []
    for name in arguments.rows or ROWS:
        run = Run(name, arguments.seed, is_short=arguments.short, without=arguments.without)
        print(f"{name}: {ROWS[name].fault} (seed {run.seed}) …", flush=True)
        began = time.monotonic()
        try:
            asyncio.run(ROWS[name].scenario(run))
        except Exception:  # the other rows are still to be run, and this one has failed
            run.violations.append(traceback.format_exc())
        run.figures["seconds"] = round(time.monotonic() - began, 1)
        _show(run)
        runs.append(run)
    _table(runs)
    if arguments.json:
        arguments.json.write_text(json.dumps([_plain(run) for run in runs], indent=1))
    return 0 if all(run.passed for run in runs) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run; none: all")
    parser.add_argument("--short", action="store_true", help="the form for CI: few faults")
    parser.add_argument("--seed", type=int, default=1, help="of the nemesis, the clients and the desk")
    parser.add_argument("--list", action="store_true", help="name the rows and leave")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--without", choices=sorted(ABLATIONS), help="leave this out of the protocol: rows must then fail"
    )
    return parser.parse_args()


def _show(run: Run) -> None:
    print("  " + ", ".join(f"{name} {value}" for name, value in run.figures.items()))
    for bound in run.bounds:
        print(f"  {bound}")
    for violation in shown(run.violations):
        print(f"  VIOLATION {violation}")
    sys.stdout.flush()


def _table(runs: list[Run]) -> None:
    print()
    for run in runs:
        held = sum(bound.holds for bound in run.bounds)
        verdict = "pass" if run.passed else "FAIL"
        print(
            f"{verdict}  {run.row:22} {len(run.violations):4} violations, {held} of {len(run.bounds)} bounds"
        )


def _plain(run: Run) -> dict[str, Any]:
    return {
        "row": run.row,
        "seed": run.seed,
        "short": run.is_short,
        "passed": run.passed,
        "figures": run.figures,
        "bounds": [str(bound) for bound in run.bounds],
        "violations": run.violations,
    }


if __name__ == "__main__":
    sys.exit(main())
