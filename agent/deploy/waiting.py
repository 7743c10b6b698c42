"""
Wait until deployments serve: the plane probes each, and says active, or failed and why.
"""

from collections.abc import Mapping

from agent.deploy.declared import Address
from agent.deploy.outcome import Observer
from agent.deploy.ports import Plane, was_refused
from core.clock import Clock
from core.errors import CarelineError

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class DeploymentFailed(CarelineError):
    """Its probes failed; the text says why, in the plane's words."""

    next_step = "Correct what it says, in the file or at the provider, and run the command again."


class DeploymentSlow(CarelineError):
    """It is neither active nor failed in time."""

    may_retry = True
    next_step = (
        "Look whether a service of its environment runs (CARELINE_ENVIRONMENT): that probes it. Or give it longer with "
        "--timeout, and run the command again."
    )


async def wait_until_active(
    plane: Plane, ids: Mapping[Address, str], *, seconds: float, clock: Clock, observer: Observer
) -> dict[Address, CarelineError]:
    """Those that did not become active, and why. A plane that cannot be asked meanwhile is asked again."""
    observer.stage("waiting", len(ids))
    pause = _FIRST_PAUSE_SECONDS
    ends_at = clock.monotonic() + seconds
    waiting, failures = dict(ids), dict[Address, CarelineError]()
    while waiting:
        for address, id in list(waiting.items()):
            try:
                found = await plane.get("deployments", id)
            except CarelineError as exc:
                if was_refused(exc):
                    failures[address] = exc
                    del waiting[address]
                continue
            status = found["status"] if found is not None else "gone"
            if status == "spawning":
                continue
            del waiting[address]
            observer.advanced()
            if status != "active":
                reason = (found.get("failure") if found is not None else None) or f"it is {status}"
                failures[address] = DeploymentFailed(f"it does not become active: {reason}")
        if waiting and clock.monotonic() >= ends_at:
            late = DeploymentSlow(f"it is not active after {seconds:.0f} s")
            return {**failures, **dict.fromkeys(waiting, late)}
        if waiting:
            await clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return failures
