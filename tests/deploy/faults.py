"""
Every fault at every call of a deploy to a real plane, and what each ends in.

A run must end applied or taken back; only where the plane stays away may it leave its journal. The next run, undisturbed, must
end as if nothing had happened, and nothing may be there twice.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agent.deploy.journal import Journal
from agent.deploy.outcome import Outcome, Result
from tests.deploy.faulty_plane import Fault, FaultyPlane, Kind, Lasts
from tests.deploy.plane_content import Content, by_name, content_of
from tests.deploy.scenarios import Scenario, Stage, deploy


@dataclass(slots=True)
class Tally:
    """`ends` counts results by scenario and how long the fault lasts; `wrong` is what must not be."""

    calls: dict[str, int] = field(default_factory=dict)
    ends: Counter[tuple[str, Lasts, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def trials(self) -> int:
        return sum(self.ends.values())


async def try_faults(
    stage: Stage,
    faulty: FaultyPlane,
    faulty_url: str,
    scenario: Scenario,
    tally: Tally,
    *,
    is_chosen: Callable[[int], bool] = lambda number: True,
    done: Callable[[], None] = lambda: None,
) -> None:
    """`is_chosen` thins the trials out, by their number."""
    applied = await stage.applied(scenario)
    await stage.set(scenario)
    faulty.begin(refuses=scenario.refuses)
    await deploy(faulty_url, stage.folder, scenario.file)
    tally.calls[scenario.name] = faulty.calls
    before: Content | None = None
    for number, fault in enumerate(_faults(faulty.calls)):
        if not is_chosen(number):
            continue
        before = before or await stage.set(scenario)
        faulty.begin(fault, refuses=scenario.refuses)
        outcome = await deploy(faulty_url, stage.folder, scenario.file)
        end = "not met" if faulty.met == 0 else outcome.result.value
        tally.ends[scenario.name, fault.lasts, end] += 1
        now = await content_of(stage.client)
        wrong = [*_wrong(outcome, fault, before, now, applied)]
        is_as_before = now == before
        if outcome.result is Result.PENDING or wrong:
            wrong += await _then(stage, scenario, applied)
            is_as_before = False
        elif Journal.is_in(stage.folder / "state"):
            wrong.append("it ended, and left its journal")
        if not is_as_before:
            before = None
        trial = f"{scenario.name}, call {fault.at}, {fault.kind.value}, {fault.lasts.value}"
        tally.wrong += [f"{trial}: {said}" for said in wrong]
        done()


def _faults(calls: int) -> Iterator[Fault]:
    """A plane that is away for good is the same in every way to be away."""
    for at in range(1, calls + 1):
        for kind in Kind:
            yield Fault(at=at, kind=kind, lasts=Lasts.ONCE)
            yield Fault(at=at, kind=kind, lasts=Lasts.CALL)
        yield Fault(at=at, kind=Kind.AWAY, lasts=Lasts.ON)


def _wrong(outcome: Outcome, fault: Fault, before: Content, now: Content, applied: Content) -> Iterator[str]:
    match outcome.result:
        case Result.APPLIED:
            if by_name(now) != applied:
                yield "said to be applied, and it is not"
        case Result.ROLLED_BACK | Result.FAILED:
            if now != before:
                yield "said to be taken back, and it is not"
        case Result.PENDING:
            if fault.lasts is Lasts.ONCE:
                yield "one failed request left it open"
        case _:
            yield f"ended {outcome.result.value}: {outcome.error}"
    if (outcome.result is Result.APPLIED) is not (outcome.exit_code == 0):
        yield f"exit code {outcome.exit_code} for {outcome.result.value}"


async def _then(stage: Stage, scenario: Scenario, applied: Content) -> list[str]:
    """What the next deploy, which nothing disturbs, ends in; and that the one after has nothing to do."""
    wrong = []
    outcome = await deploy(stage.url, stage.folder, scenario.file)
    if outcome.exit_code != 0:
        wrong.append(f"the next run ended {outcome.result.value}: {outcome.error}")
    if by_name(await content_of(stage.client)) != applied:
        wrong.append("the next run did not end as declared")
    again = await deploy(stage.url, stage.folder, scenario.file)
    if again.result is not Result.UNCHANGED:
        wrong.append(f"a run after that was {again.result.value}")
    return wrong
