"""
The faults of a matrix: each dependency with each way in which it can fail, alone and in pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from agent.replay.faults import Fault, parse_fault

Cell = tuple[Fault, ...]

_SHARE = "30 %"
_READ = ("down", f"timeout {_SHARE}", f"refused {_SHARE}", "slow 1 s", f"error {_SHARE}")
_WRITTEN = (*_READ, f"write-then-timeout {_SHARE}", f"lost {_SHARE}")
_ASKED_OVER_HTTP = f"429 {_SHARE} retry-after 2"

_FAULTS: Mapping[str, Sequence[str]] = {
    # Without it nothing is kept: a message is refused and sent again, so an outage must end.
    "sql": (
        "down turn 2 for 8 s",
        "timeout 10 %",
        "refused 10 %",
        "slow 0.2 s",
        "write-then-timeout 10 %",
        "lost 10 %",
    ),
    "knowledge": _READ,
    "search_service": (*_READ, _ASKED_OVER_HTTP),
    "vectors": _READ,
    "customers": (*_READ, _ASKED_OVER_HTTP),
    "tickets": (*_WRITTEN, _ASKED_OVER_HTTP),
    "notifications": (*_WRITTEN, _ASKED_OVER_HTTP),
    "model": (*_READ, _ASKED_OVER_HTTP),
}
_OUTSIDE = (*_WRITTEN, _ASKED_OVER_HTTP)


def singles(dependencies: Sequence[str]) -> Iterator[Cell]:
    for dependency in dependencies:
        for text in _FAULTS.get(dependency, _OUTSIDE):
            yield (parse_fault(dependency, text),)


def pairs(dependencies: Sequence[str]) -> Iterator[Cell]:
    """Of faults of two dependencies."""
    for (one,), (other,) in combinations(singles(dependencies), 2):
        if one.dependency != other.dependency:
            yield one, other


def named(cell: Cell) -> str:
    """As a folder is called."""
    return "+".join(f"{fault.dependency}-{fault.kind.value}" for fault in cell) or "none"
