"""
End `careline worker` at random moments with the processors busy, on SQLite and on PostgreSQL with Redis: what takes too long?

`python -m tests.long.worker_ends --rounds 40 --load 2`; the exit code is 1 where anything did.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from state.sql.migrate import upgrade
from tests.servers import PostgresServer, RedisServer
from tests.worker_endings import MOMENTS, Ending, Scene, busy_processor


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="on each of the two")
    parser.add_argument("--load", type=int, default=2, help="processes that only burn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on", nargs="+", choices=_ON, default=list(_ON))
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    late: list[Ending] = []
    with tempfile.TemporaryDirectory(prefix="careline-ends-") as folder, busy_processor(given.load):
        for name in given.on:
            with _ON[name](Path(folder)) as scene:
                moments = MOMENTS if scene.servers else MOMENTS[:3]
                endings = []
                for number in range(given.rounds):
                    endings.append(scene.ending(moments[number % len(moments)], chance))
                    _say(f"{name}, {endings[-1]}")
            for moment in moments:
                took = sorted(each.took_seconds for each in endings if each.moment == moment)
                _say(
                    f"  {moment}: {len(took)}, median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s"
                )
            late += [each for each in endings if not each.is_in_time or each.code not in (0, -15)]
    for each in late:
        _say(f"LATE OR WRONG: {each}\n{each.log}\n")
    return 1 if late else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def _embedded(folder: Path) -> Iterator[Scene]:
    url = f"sqlite+aiosqlite:///{folder / 'careline.db'}"
    upgrade(url)
    yield Scene(folder, url, {})


@contextmanager
def _at_scale(folder: Path) -> Iterator[Scene]:
    with PostgresServer() as postgres, RedisServer() as redis:
        postgres.create_database("careline")
        url = postgres.url("careline")
        upgrade(url)
        yield Scene(folder, url, {"redis_url": redis.url, "broker_url": redis.url}, (postgres, redis))


_ON = {"sqlite": _embedded, "postgres-redis": _at_scale}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
