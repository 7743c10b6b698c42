"""
Replay the public data sets, and logs made of their turns, as `careline replay` does it.

    python -m bench.replays figures [--only NAME] [--limit N] [--matrix-limit N]
    python -m bench.replays sample OUT --conversations N [--seed N]
    python -m bench.replays scale [--conversations N] [--lexical-conversations N]

`figures` replays each data set whole, with its own articles and customers; then a mixture of them for every single fault. It
prints the tables of docs/replay.md, and ends with an error where a turn broke a rule. `sample` makes a log of as many
conversations as are wanted, each of 2 to 6 customer turns drawn from all data sets. `scale` replays such logs: with the whole
embedded brain by one process and by two, and by words alone, with the memory that it takes.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from agent.bootstrap.records import open_for_command
from agent.replay.formats import read_log
from agent.replay.log import RecordedConversation, RecordedMessage
from bench.context import dstc11
from bench.documents import documents
from core.identity import DEFAULT_TENANT
from core.records import Article, Customer, Order
from core.settings import Settings

_DATA = Path(__file__).resolve().parents[2] / "shared/data"
_SOME_DAY = datetime(2025, 12, 1, tzinfo=UTC)
_FEWEST_TURNS, _MOST_TURNS = 2, 6
_EFFICIENCY = 0.8
_LOGS: Mapping[str, Sequence[str]] = {
    "tau2_retail_airline": ("retail/tasks.json", "airline/tasks.json"),
    "tau2_banking_knowledge": ("tasks.json",),
    "sgd_sample": ("dialogues_007.json",),
    "dstc11_track5": ("logs.json",),
}


def logs(name: str) -> list[Path]:
    return [_DATA / name / log for log in _LOGS[name]]


def articles(name: str) -> Sequence[Article]:
    """SGD brings none; its customers ask about what the DSTC11 knowledge is about: hotels, restaurants, ways to travel."""
    match name:
        case "tau2_banking_knowledge":
            return documents()
        case "tau2_retail_airline":
            return [*_policy("retail"), *_policy("airline")]
        case _:
            return dstc11()[0]


def _policy(shop: str) -> Iterator[Article]:
    text = (_DATA / "tau2_retail_airline" / shop / "policy.md").read_text(encoding="utf-8")
    for number, part in enumerate(text.split("\n## ")):
        title, _, body = part.strip("# \n").partition("\n")
        if body.strip():
            yield Article(article_id=f"{shop}-{number}", title=title, body=body.strip())


def customers(name: str) -> Iterator[Customer]:
    if name != "tau2_retail_airline":
        return
    shop = json.loads((_DATA / name / "retail/db.json").read_text(encoding="utf-8"))
    flyers = json.loads((_DATA / name / "airline/tau_bench_users.json").read_text(encoding="utf-8"))
    for customer_id, one in {**flyers, **shop["users"]}.items():
        orders = [shop["orders"][order] for order in one.get("orders", ())]
        yield Customer(
            customer_id=customer_id,
            name=f"{one['name']['first_name']} {one['name']['last_name']}",
            email=one["email"],
            orders=tuple(map(_order, orders)),
        )


def _order(order: Mapping[str, Any]) -> Order:
    tracking = [number for sent in order.get("fulfillments", ()) for number in sent["tracking_id"]]
    return Order(
        order_id=order["order_id"],
        placed_at=_SOME_DAY,
        status=order["status"],
        items=tuple(item["name"] for item in order["items"]),
        total_cents=round(100 * sum(item["price"] for item in order["items"])),
        currency="USD",
        tracking=tracking[0] if tracking else None,
    )


async def _fill(settings: Settings, names: Sequence[str]) -> None:
    async with open_for_command(settings) as opened:
        records = opened.records
        wanted = {one.article_id: one for name in names for one in articles(name)}
        await records.articles.put(DEFAULT_TENANT, list(wanted.values()))
        for name in names:
            for customer in customers(name):
                await records.customers.put_customer(DEFAULT_TENANT, customer)


class Company:
    """A database with the articles and customers of some data sets, and the command that replays against it."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._variables = {
            **os.environ,
            "CARELINE_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'company.db'}",
            "CARELINE_DATA_DIR": str(folder / "company"),
        }
        asyncio.run(_fill(Settings(database_url=self._variables["CARELINE_DATABASE_URL"]), names))

    def command(self, wanted: Sequence[Path], out: Path, *options: str) -> list[str]:
        return [sys.executable, "-m", "agent", "replay", *map(str, wanted), "--out", str(out), *options]

    def start(self, wanted: Sequence[Path], out: Path, *options: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command(wanted, out, *options), env=self._variables)

    def replay(self, wanted: Sequence[Path], out: Path, *options: str) -> dict[str, Any]:
        """The totals; a run whose turns broke a rule has them too."""
        code = self.start(wanted, out, *options).wait()
        if code not in (0, 1):
            sys.exit(f"careline replay ended with {code}")
        totals: dict[str, Any] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        return totals


def figures(only: Sequence[str], limit: int | None, matrix_limit: int, folder: Path) -> bool:
    """Whether every turn kept every rule."""
    whole: list[tuple[str, dict[str, Any]]] = []
    for name in only or _LOGS:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        limits = ("--limit", str(limit)) if limit is not None else ()
        whole.append((name, Company(place, [name]).replay(logs(name), place / "whole", *limits)))
    _print_whole(whole)
    place = folder / "matrix"
    place.mkdir(parents=True, exist_ok=True)
    mixed = place / "mixed.jsonl"
    mix(mixed, only or list(_LOGS), matrix_limit)
    code = Company(place, only or list(_LOGS)).start([mixed], place, "--matrix", "singles").wait()
    if code not in (0, 1):
        sys.exit(f"careline replay --matrix ended with {code}")
    cells = json.loads((place / "matrix.json").read_text(encoding="utf-8"))
    _print_matrix(cells)
    return not any(totals["with_findings"] for totals in (*(totals for _, totals in whole), *cells))


def mix(out: Path, names: Sequence[str], of_each: int) -> None:
    """The first conversations of each data set, and as many that end with the wish for a ticket and the question after it."""
    with out.open("wb") as file:
        for name in names:
            taken = list(islice((one for log in logs(name) for one in read_log(log)), 2 * of_each))
            for one in taken[:of_each]:
                file.write(msgspec.json.encode(one) + b"\n")
            for one in taken[of_each:]:
                about = next((turn.text for turn in one.turns() if turn.text.strip()), "my question")[:200]
                wishes = (f"Please open a ticket: {about}", "What is the status of my ticket?")
                longer = (*one.messages, *(RecordedMessage(role="customer", text=text) for text in wishes))
                wishing = msgspec.structs.replace(one, id=f"{one.id}-ticket", messages=longer)
                file.write(msgspec.json.encode(wishing) + b"\n")


def _print_whole(whole: Sequence[tuple[str, dict[str, Any]]]) -> None:
    print("| data set | conversations | turns | answered | cited | handed over | turns that broke a rule |")
    print("|---|---|---|---|---|---|---|")
    for name, totals in whole:
        told = (totals[key] for key in ("conversations", "turns", "answered", "cited", "handed_over"))
        print(f"| `{name}` | {' | '.join(f'{one:,}' for one in told)} | {_broke(totals)} |")


def _print_matrix(cells: Sequence[dict[str, Any]]) -> None:
    """Without the faults that no turn met: the built-in brain does not use everything."""
    print("\n| fault | turns | met it | answered | degraded | longest wait | turns that broke a rule |")
    print("|---|---|---|---|---|---|---|")
    for cell in cells:
        if cell["met_faults"] or not cell["faults"]:
            told = " | ".join(f"{cell[key]:,}" for key in ("turns", "met_faults", "answered", "degraded"))
            longest = (cell["latency_ms"]["max"] or 0) / 1000
            print(f"| {_told(cell)} | {told} | {longest:.1f} s | {_broke(cell)} |")


def _told(cell: Mapping[str, Any]) -> str:
    return ", ".join(f"`{fault['dependency']}: {fault['kind']}`" for fault in cell["faults"]) or "none"


def _broke(totals: Mapping[str, Any]) -> str:
    rules = ", ".join(f"{rule} {count}" for rule, count in totals["findings"].items())
    return f"{totals['with_findings']}{f' ({rules})' if rules else ''}"


def sample(out: Path, conversations: int, seed: int) -> None:
    """A stream of conversations whose turns are real, and whose order is not."""
    chance = random.Random(seed)
    turns = [
        turn
        for name in _LOGS
        for log in logs(name)
        for recorded in read_log(log)
        for turn in recorded.turns()
        if turn.text.strip()
    ]
    with out.open("wb") as file:
        for number in range(conversations):
            messages: list[RecordedMessage] = []
            for turn in chance.sample(turns, chance.randint(_FEWEST_TURNS, _MOST_TURNS)):
                messages.append(RecordedMessage(role="customer", text=turn.text))
                if turn.reply:
                    messages.append(RecordedMessage(role="agent", text=turn.reply))
            made = RecordedConversation(id=f"sampled-{number}", messages=tuple(messages))
            file.write(msgspec.json.encode(made) + b"\n")


def scale(conversations: int, lexical_conversations: int, folder: Path) -> bool:
    """Whether two processes do at least 0.8 × twice what one does."""
    company = Company(folder, list(_LOGS))
    log = folder / "sampled.jsonl"
    sample(log, conversations, seed=1)
    company.replay([log], folder / "warm", "--limit", "1")  # the index's vectors are made once
    seconds = {}
    for processes in (1, 2):
        began = time.monotonic()
        out = folder / f"whole-{processes}"
        totals = company.replay([log], out, "--processes", str(processes))
        seconds[processes] = time.monotonic() - began
        print(
            f"{conversations:,} conversations, {totals['turns']:,} turns, {processes} processes: {seconds[processes]:.0f} s, "
            f"{totals['turns'] / seconds[processes]:.1f} turns/s, broke a rule: {_broke(totals)}"
        )
    same = (folder / "whole-1/turns.jsonl").read_bytes() == (folder / "whole-2/turns.jsonl").read_bytes()
    efficiency = seconds[1] / seconds[2] / 2
    print(f"efficiency of two processes: {efficiency:.2f}; the same bytes: {same}")
    sample(log, lexical_conversations, seed=2)
    began = time.monotonic()
    process = company.start([log], folder / "lexical", "--lexical")
    memory = Memory(process.pid)
    process.wait()
    memory.stop()
    totals = json.loads((folder / "lexical/summary.json").read_text(encoding="utf-8"))
    took = time.monotonic() - began
    print(
        f"{lexical_conversations:,} conversations, {totals['turns']:,} turns by words alone: {took:.0f} s, "
        f"broke a rule: {_broke(totals)}; memory {memory.told()}"
    )
    return efficiency >= _EFFICIENCY and same


class Memory:
    """Of a process and its children, looked at every second: the command itself and the largest worker."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: list[tuple[float, float]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def told(self) -> str:
        """Halfway through what came after the start, and in the end."""
        started = self._seen[len(self._seen) // 5 :] or [(0.0, 0.0)]
        parts = [started[0], started[len(started) // 2], started[-1]]
        own, worker = (" → ".join(f"{part[which]:.0f}" for part in parts) for which in (0, 1))
        return f"at a fifth, three fifths and the end: command {own} MB, largest worker {worker} MB"

    def _look(self) -> None:
        while not self._stopped.wait(1.0):
            children = Path(f"/proc/{self._pid}/task/{self._pid}/children")
            try:
                workers = [_resident_mb(int(child)) for child in children.read_text().split()]
                self._seen.append((_resident_mb(self._pid), max(workers, default=0.0)))
            except OSError:
                return


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="folder to keep everything in")
    parts = parser.add_subparsers(dest="part", required=True)
    of_figures = parts.add_parser("figures")
    of_figures.add_argument("--only", action="append", choices=list(_LOGS), default=[])
    of_figures.add_argument("--limit", type=int)
    of_figures.add_argument("--matrix-limit", type=int, default=15)
    of_sample = parts.add_parser("sample")
    of_sample.add_argument("out", type=Path)
    of_sample.add_argument("--conversations", type=int, default=2000)
    of_sample.add_argument("--seed", type=int, default=0)
    of_scale = parts.add_parser("scale")
    of_scale.add_argument("--conversations", type=int, default=2000)
    of_scale.add_argument("--lexical-conversations", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = options.keep or Path(scratch)
        match options.part:
            case "sample":
                sample(options.out, options.conversations, options.seed)
                return
            case "figures":
                is_good = figures(options.only, options.limit, options.matrix_limit, folder)
            case _:
                folder.mkdir(parents=True, exist_ok=True)
                is_good = scale(options.conversations, options.lexical_conversations, folder)
    if not is_good:
        sys.exit("A goal was missed.")


if __name__ == "__main__":
    main()
