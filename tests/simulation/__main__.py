"""
`python -m tests.simulation --seeds 10000`: many worlds on all cores; `--seed N --trace` plays one of them again.
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation.world import Report, run_seed, silence

_AT_ONCE = 25


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds (default 1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--trace", action="store_true", help="print what happened in it")
    parser.add_argument("--strict", action="store_true", help="excuse not even the documented limits")
    parser.add_argument(
        "--processes",
        type=int,
        default=multiprocessing.cpu_count(),
        help="at once; as many as there are cores",
    )
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, shows_trace=options.trace, is_strict=options.strict)
    return _many(
        range(options.first, options.first + options.seeds), options.processes, is_strict=options.strict
    )


def _one(seed: int, *, shows_trace: bool, is_strict: bool) -> int:
    with silence():
        report = run_seed(seed, is_strict=is_strict)
    if shows_trace:
        _say(*report.trace)
    _say(*(f"{name}: {count}" for name, count in sorted(report.counts.items())))
    _say(f"seed {seed}: trace {report.digest[:16]}, {len(report.violations)} violations", *report.violations)
    return 1 if report.violations else 0


def _many(seeds: range, processes: int, *, is_strict: bool) -> int:
    began = time.monotonic()
    counts: Counter[str] = Counter()
    failed: list[Report] = []
    batches = [(seeds[at : at + _AT_ONCE], is_strict) for at in range(0, len(seeds), _AT_ONCE)]
    with multiprocessing.Pool(processes) as pool:
        for some_counts, some_failed in pool.imap_unordered(_batch, batches):
            counts += some_counts
            for report in some_failed:
                failed.append(report)
                _say(f"seed {report.seed}:", *(f"  {each}" for each in report.violations))
                flag = " --strict" if is_strict else ""
                _say(f"  again: python -m tests.simulation --seed {report.seed} --trace{flag}")
    took = time.monotonic() - began
    _say(*(f"{count:10,} {name}" for name, count in sorted(counts.items())))
    _say(
        f"{len(seeds):,} seeds, {len(failed)} with violations; {took:.0f} s, {len(seeds) / took:.1f} seeds/s "
        f"on {processes} cores"
    )
    return 1 if failed else 0


def _batch(batch: tuple[range, bool]) -> tuple[Counter[str], list[Report]]:
    seeds, is_strict = batch
    counts: Counter[str] = Counter()
    failed = []
    with silence():
        for seed in seeds:
            report = run_seed(seed, is_strict=is_strict)
            counts += report.counts
            if report.violations:
                failed.append(Report(seed, report.violations))
    return counts, failed


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
