"""
A small shop to replay against, a log of its customers, and the command in a process of its own.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.log import RecordedConversation, RecordedMessage
from tests.careline_process import environment, run_careline

_RETURNS = """# Returning a kettle

A kettle can be returned within 30 days if it was never filled. Send it to our warehouse in the box in which it came.
"""
_SAID = (
    "Can I return a kettle?",
    "Please open a ticket: the lid of my kettle is broken.",
    "ada@example.org",
    "What is the status of my ticket?",
)


@dataclass(frozen=True, slots=True)
class Shop:
    folder: Path

    def log(self, conversations: int, *, turns: int = 4) -> Path:
        path = self.folder / f"log-{conversations}-{turns}.jsonl"
        with path.open("wb") as file:
            for number in range(conversations):
                said = tuple(RecordedMessage(role="customer", text=text) for text in _SAID[:turns])
                file.write(msgspec.json.encode(RecordedConversation(f"talk-{number}", said)) + b"\n")
        return path

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "agent", "replay", *options]

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*options),
            cwd=self.folder,
            env=environment({}),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def replay(self, *options: str, expected: int = 0, settings: Mapping[str, str] | None = None) -> str:
        """What it says on both ways; it must end with the code that is `expected`."""
        done = subprocess.run(
            self.command(*options),
            cwd=self.folder,
            env=environment(settings or {}),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == expected, done.stderr + done.stdout
        return " ".join((done.stderr + done.stdout).split())


def opened(folder: Path) -> Shop:
    (folder / "help").mkdir()
    (folder / "help" / "returns.md").write_text(_RETURNS, encoding="utf-8")
    run_careline("ingest", "help", folder=folder)
    return Shop(folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "turns.jsonl").read_text(encoding="utf-8").splitlines()]


def compared(folder: Path) -> Sequence[bytes]:
    """The files that must be the same bytes in every run."""
    return [(folder / name).read_bytes() for name in ("turns.jsonl", "summary.json", "run.json")]
