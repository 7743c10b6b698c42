"""
What a run is about to do and has done, on disk before each request: from it, the next run completes or takes back what was
interrupted.

One JSON object a line, synced one by one. It holds bodies as they were sent, so its owner alone may read it; a run that ends well
removes it.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec

from agent.deploy.declared import Address
from core.errors import DataIntegrityFailed
from core.whole_files import sync_folder

FILE = "journal.jsonl"


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag=str.lower):
    pass


class Began(_Line, frozen=True, kw_only=True):
    run: str
    digest: str
    at: datetime


class Intent(_Line, frozen=True, kw_only=True):
    """A request that follows. `before` are the fields that an update changes, as they were; `key` is a creation's."""

    number: int
    does: Literal["create", "update"]
    section: str
    name: str
    kind: str
    fields: dict[str, Any]
    at: datetime
    key: str | None = None
    id: str | None = None
    before: dict[str, Any] | None = None


class Done(_Line, frozen=True, kw_only=True):
    number: int
    id: str


class Refused(_Line, frozen=True, kw_only=True):
    """The plane answered that it did nothing."""

    number: int


class TurnedBack(_Line, frozen=True, kw_only=True):
    """From here on the run only takes back."""

    why: str


class Undone(_Line, frozen=True, kw_only=True):
    number: int


class Applied(_Line, frozen=True, kw_only=True):
    """Nothing is taken back any more."""


_decoder = msgspec.json.Decoder(Began | Intent | Done | Refused | TurnedBack | Undone | Applied)


class Fate(StrEnum):
    UNKNOWN = "unknown"
    DONE = "done"
    REFUSED = "refused"
    UNDONE = "undone"


class Phase(StrEnum):
    FORWARD = "forward"
    BACK = "back"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request, and what is known of it. `id` is None while nobody knows whether the resource was made."""

    intent: Intent
    fate: Fate
    id: str | None

    @property
    def number(self) -> int:
        return self.intent.number

    @property
    def address(self) -> Address:
        return Address(self.intent.section, self.intent.name)

    @property
    def makes(self) -> bool:
        return self.intent.does == "create"


class Journal:
    """One run's. `open` reads what an interrupted one has left."""

    def __init__(self, path: Path, began: Began) -> None:
        self._path = path
        self._began = began
        self._steps: dict[int, Step] = {}
        self._phase = Phase.FORWARD
        self.why_back = ""

    @classmethod
    def begin(cls, folder: Path, *, run: str, digest: str, at: datetime) -> "Journal":
        journal = cls(folder / FILE, Began(run=run, digest=digest, at=at))
        journal._write(journal._began)
        sync_folder(folder)
        return journal

    @classmethod
    def open(cls, folder: Path) -> "Journal | None":
        """
        None where no run was interrupted.

        Raises:
            DataIntegrityFailed: a line cannot be read, other than a last one that was not written to its end.
        """
        path = folder / FILE
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        whole, _, torn = content.rpartition(b"\n")
        if torn:
            # What was to follow it was not sent.
            with path.open("r+b") as file:
                file.truncate(len(content) - len(torn))
        lines = [_read(path, n, line) for n, line in enumerate(whole.split(b"\n"), start=1) if line]
        if not lines:
            path.unlink()
            return None
        if not isinstance(lines[0], Began):
            raise DataIntegrityFailed(f"{path} does not begin as a journal does")
        journal = cls(path, lines[0])
        for line in lines[1:]:
            journal._take(line)
        return journal

    @staticmethod
    def is_in(folder: Path) -> bool:
        return (folder / FILE).exists()

    @property
    def run(self) -> str:
        return self._began.run

    @property
    def digest(self) -> str:
        return self._began.digest

    @property
    def began_at(self) -> datetime:
        return self._began.at

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(self._steps.values())

    def newest_first(self) -> Iterator[Step]:
        yield from reversed(self.steps)

    def made(self) -> dict[str, Step]:
        """What this run made and has not taken back, by id."""
        return {
            step.id: step
            for step in self.steps
            if step.makes and step.fate is Fate.DONE and step.id is not None
        }

    def will_create(self, address: Address, kind: str, fields: Mapping[str, Any], *, at: datetime) -> Step:
        number = len(self._steps) + 1
        return self._intend(
            Intent(
                number=number, does="create", section=address.section, name=address.name, kind=kind,
                fields=dict(fields), at=at, key=f"careline-deploy/{self.run}/{number}",
            )
        )  # fmt: skip

    def will_update(
        self,
        address: Address,
        kind: str,
        id: str,
        fields: Mapping[str, Any],
        *,
        before: Mapping[str, Any],
        at: datetime,
    ) -> Step:
        return self._intend(
            Intent(
                number=len(self._steps) + 1, does="update", section=address.section, name=address.name, kind=kind,
                fields=dict(fields), at=at, id=id, before=dict(before),
            )
        )  # fmt: skip

    def was_done(self, step: Step, id: str) -> None:
        self._note(Done(number=step.number, id=id))

    def was_refused(self, step: Step) -> None:
        self._note(Refused(number=step.number))

    def turn_back(self, why: str) -> None:
        self._note(TurnedBack(why=why))

    def was_undone(self, step: Step) -> None:
        self._note(Undone(number=step.number))

    def was_applied(self) -> None:
        self._note(Applied())

    def remove(self) -> None:
        self._path.unlink()
        sync_folder(self._path.parent)

    def _intend(self, intent: Intent) -> Step:
        self._note(intent)
        return self._steps[intent.number]

    def _note(self, line: _Line) -> None:
        self._write(line)
        self._take(line)

    def _write(self, line: _Line) -> None:
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _take(self, line: _Line) -> None:
        match line:
            case Intent():
                self._steps[line.number] = Step(intent=line, fate=Fate.UNKNOWN, id=line.id)
            case Done():
                self._know(line.number, Fate.DONE, line.id)
            case Refused():
                self._know(line.number, Fate.REFUSED)
            case Undone():
                self._know(line.number, Fate.UNDONE)
            case TurnedBack():
                self._phase, self.why_back = Phase.BACK, line.why
            case Applied():
                self._phase = Phase.APPLIED

    def _know(self, number: int, fate: Fate, id: str | None = None) -> None:
        step = self._steps[number]
        self._steps[number] = replace(step, fate=fate, id=id or step.id)


def _read(path: Path, number: int, line: bytes) -> _Line:
    try:
        found: _Line = _decoder.decode(line)
    except msgspec.DecodeError as exc:
        raise DataIntegrityFailed(f"{path}:{number} cannot be read: {exc}") from exc
    return found
