"""
Find a turn of a run by its conversation and number, without holding the run in memory.

Rows may stand in any order (several conversations are replayed at once), and a run may be longer than memory: kept are a hash,
a place in the file and how long it really took, 24 bytes a turn. A row that is found is read again and compared, so that equal
hashes do no harm.
"""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from math import isnan, nan
from typing import BinaryIO, Self

import msgspec
import numpy as np

from agent.replay.results import ReplayResults, ResultFolder, TimedTurn, timed


class PlacedTurns:
    """An index over one folder, to be opened: it reads from the file. Of a turn that stands there twice, the last counts."""

    def __init__(self, folder: ResultFolder) -> None:
        self._folder = folder
        self._decoder = msgspec.json.Decoder(TimedTurn)
        hashes, places, real = array("Q"), array("q"), array("d")
        for offset, turn in folder.placed_turns():
            hashes.append(_hash(turn.conversation, turn.turn))
            places.append(offset)
            real.append(nan if turn.real_ms is None else turn.real_ms)
        found = np.array(hashes, dtype=np.uint64)
        order = np.argsort(found, kind="stable")
        self._hashes = found[order]
        self._places = np.array(places, dtype=np.int64)[order]
        self._real_ms = np.array(real, dtype=np.float64)[order]
        self._asked = np.zeros(len(self._hashes), dtype=np.bool_)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self._folder.rows.open("rb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, conversation: str, turn: int) -> TimedTurn | None:
        wanted = np.uint64(_hash(conversation, turn))
        first = int(np.searchsorted(self._hashes, wanted, side="left"))
        last = int(np.searchsorted(self._hashes, wanted, side="right"))
        found = None
        for position in range(first, last):
            row = self._read(position)
            if (row.conversation, row.turn) == (conversation, turn):
                self._asked[position] = True
                found = row
        return found

    def never_found(self) -> Iterator[TimedTurn]:
        """Those that nobody asked for, in the order of the file."""
        left = np.flatnonzero(~self._asked)
        for position in left[np.argsort(self._places[left])]:
            yield self._read(int(position))

    def _read(self, position: int) -> TimedTurn:
        if self._file is None:
            raise RuntimeError("the index is not open")
        self._file.seek(int(self._places[position]))
        turn = self._decoder.decode(self._file.readline())
        real_ms = float(self._real_ms[position])
        return turn if isnan(real_ms) else timed(turn, real_ms)


def pairs(
    base: ReplayResults, new: ReplayResults
) -> Iterator[tuple[str, TimedTurn | None, TimedTurn | None]]:
    """
    Cell, base's turn, new's turn, in the order of `new`; then those that only `base` has.

    Cells of two matrices belong together by their name. Cells that only one of them has are passed over: another plan of faults
    is no regression.
    """
    of_base = {folder.cell: folder for folder in base.folders}
    for folder in new.folders:
        before = of_base.get(folder.cell)
        if before is None:
            continue
        with PlacedTurns(before) as index:
            for turn in folder.turns():
                yield folder.cell, index.find(turn.conversation, turn.turn), turn
            for turn in index.never_found():
                yield folder.cell, turn, None


def unpaired_cells(base: ReplayResults, new: ReplayResults) -> tuple[str, ...]:
    """Cells that only one of the two has."""
    return tuple(sorted({each.cell for each in base.folders} ^ {each.cell for each in new.folders}))


def _hash(conversation: str, turn: int) -> int:
    key = f"{turn}\0{conversation}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")
