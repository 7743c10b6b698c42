"""
Delete what earlier deploys of a file made and the file does not declare any more. What is in use stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.deploy.outcome import Observer
from agent.deploy.planning import Stray
from agent.deploy.ports import Plane, was_refused
from agent.deploy.record import DeployRecord
from core.errors import CarelineError


@dataclass(slots=True)
class Pruned:
    """`failure`: the plane could not be asked, and the rest was not tried."""

    deleted: list[Stray] = field(default_factory=list)
    kept: list[tuple[Stray, CarelineError]] = field(default_factory=list)
    failure: CarelineError | None = None


async def prune(
    plane: Plane, strays: Sequence[Stray], record: DeployRecord, folder: Path, *, observer: Observer
) -> Pruned:
    """Not taken back by anything. Begun again after an interruption, it goes on with what is still there."""
    pruned = Pruned()
    observer.stage("pruning", len(strays))
    for stray in strays:
        try:
            await plane.delete(stray.kind, stray.id)
        except CarelineError as exc:
            if not was_refused(exc):
                pruned.failure = exc
                return pruned
            pruned.kept.append((stray, exc))
            continue
        record.forget(stray.id)
        record.save(folder)
        pruned.deleted.append(stray)
        observer.advanced()
    return pruned
