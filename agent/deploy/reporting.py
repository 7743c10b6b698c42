"""
Put together what is told of a deploy, from its plan, its journal and what failed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.control.sealing import withheld
from agent.deploy.applying import Applied
from agent.deploy.declared import SECTIONS, Address
from agent.deploy.journal import Fate, Journal
from agent.deploy.outcome import (
    ExitCode,
    FieldChange,
    Observer,
    Outcome,
    ResourceReport,
    Result,
    State,
    next_step_for,
    said_of,
)
from agent.deploy.planning import Action, Change, Plan, Planned, Stray
from agent.deploy.ports import can_be_repeated
from agent.deploy.pruning import Pruned
from agent.deploy.rollback import Left, TakenBack
from core.errors import CarelineError

_TO = {
    Action.CREATE: State.TO_CREATE,
    Action.UPDATE: State.TO_UPDATE,
    Action.REPLACE: State.TO_REPLACE,
    Action.KEEP: State.UNCHANGED,
}
_DID = {
    Action.CREATE: State.CREATED,
    Action.UPDATE: State.UPDATED,
    Action.REPLACE: State.REPLACED,
    Action.KEEP: State.UNCHANGED,
}
_AGAIN = "Run the same command again: it goes on from its journal. With --roll-back it takes back instead."


class Reporting:
    """`warnings` stand in every outcome, and what is noted meanwhile, too."""

    def __init__(self, observer: Observer, warnings: Sequence[str]) -> None:
        self._observer = observer
        self._warnings = tuple(warnings)
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        self._notes.append(text)
        self._observer.noted(text)

    def planned(self, plan: Plan, *, prunes: bool) -> Outcome:
        if plan.missing:
            return self._outcome(
                Result.FAILED,
                ExitCode.WRONG_CALL,
                plan=plan,
                error="; ".join(
                    f"{each.address} (line {each.line}): the plane has none" for each in plan.missing
                ),
                next_step="Make it on the plane, or declare it in the file. Nothing was sent.",
            )
        resources = [_report(each, _TO[each.action], id=each.id) for each in plan.entries]
        resources += [_older(each.address, each.id, State.TO_RETIRE) for each in plan.retired]
        resources += [_stray(each, State.TO_DELETE) for each in plan.strays if prunes]
        is_empty = plan.is_empty and not (prunes and plan.strays)
        return self._outcome(
            Result.UNCHANGED if is_empty else Result.PLANNED, ExitCode.DONE, plan=plan, resources=resources
        )

    def unplanned(self, failure: CarelineError, *, is_open: bool = False) -> Outcome:
        """The plane could not be asked; `is_open`: a journal waits for the next run."""
        may_repeat = can_be_repeated(failure)
        return self._outcome(
            Result.PENDING if is_open else Result.FAILED,
            ExitCode.RUN_AGAIN if may_repeat else ExitCode.MEND,
            may_repeat=may_repeat,
            error=said_of(failure),
            next_step=f"{next_step_for(failure)} {_AGAIN}" if is_open else next_step_for(failure),
        )

    def unreadable(self, failure: CarelineError) -> Outcome:
        """The journal or the record."""
        return self._outcome(
            Result.PENDING,
            ExitCode.NEEDS_A_PERSON,
            error=said_of(failure),
            next_step="Nothing was sent. Look what was done before (GET /api/v1/audit), mend the file or move it away, and run "
            "the command again.",
        )

    def unwritable(self, failure: OSError, *, is_open: bool) -> Outcome:
        return self._outcome(
            Result.PENDING if is_open else Result.FAILED,
            ExitCode.RUN_AGAIN,
            may_repeat=True,
            error=f"the journal cannot be kept: {failure}",
            next_step=f"Make room, or name another folder with --state. {_AGAIN if is_open else 'Nothing was changed.'}",
        )

    def nothing_open(self) -> Outcome:
        self.note("No run of this file was interrupted: there is nothing to take back.")
        return self._outcome(Result.UNCHANGED, ExitCode.DONE)

    def taken_back(self, journal: Journal, back: TakenBack) -> Outcome:
        """An earlier run's."""
        addresses = list(
            dict.fromkeys(step.address for step in journal.steps if step.fate is not Fate.REFUSED)
        )
        resources = [self._undone(address, journal, back) for address in addresses]
        return self._ended(journal, back, resources=resources, code=ExitCode.DONE, may_repeat=False)

    def failed(self, plan: Plan, applied: Applied, journal: Journal, back: TakenBack) -> Outcome:
        failures = applied.failures
        may_repeat = all(can_be_repeated(each) for each in failures.values())
        resources = []
        for planned in plan.entries:
            failure = failures.get(planned.address)
            undone = self._undone(planned.address, journal, back)
            if failure is not None:
                kept = f"; {undone.said}" if undone.said else ""
                resources.append(
                    _report(
                        planned,
                        State.FAILED,
                        id=undone.id,
                        said=said_of(failure) + kept,
                        next_step=undone.next_step or next_step_for(failure),
                    )
                )
            elif planned.action is Action.KEEP:
                resources.append(_report(planned, State.UNCHANGED, id=planned.id))
            else:
                resources.append(
                    _report(planned, undone.state, id=undone.id, said=undone.said, next_step=undone.next_step)
                )
        address, first = next(iter(failures.items()))
        return self._ended(
            journal,
            back,
            plan=plan,
            resources=resources,
            code=ExitCode.RUN_AGAIN if may_repeat else ExitCode.MEND,
            may_repeat=may_repeat,
            error=f"{address}: {said_of(first)}",
            next_step=next_step_for(first),
        )

    def applied(
        self, plan: Plan, ids: Mapping[Address, str], journal: Journal | None, pruned: Pruned | None
    ) -> Outcome:
        resources = [_report(each, _DID[each.action], id=ids.get(each.address)) for each in plan.entries]
        resources += [_older(each.address, each.id, State.RETIRED) for each in plan.retired]
        may_repeat, code, error, step = False, ExitCode.DONE, "", ""
        if pruned is not None:
            resources += [_stray(each, State.DELETED) for each in pruned.deleted]
            resources += [_stray(each, State.LEFT, failure) for each, failure in pruned.kept]
            if pruned.failure is not None:
                may_repeat, code = True, ExitCode.RUN_AGAIN
                error, step = (
                    said_of(pruned.failure),
                    "All is applied. Run the same command again to prune the rest.",
                )
        elif plan.strays:
            self.note(f"{len(plan.strays)} that the file does not declare any more: --prune deletes them.")
        has_changed = (journal is not None and bool(journal.steps)) or (
            pruned is not None and bool(pruned.deleted)
        )
        return self._outcome(
            Result.APPLIED if has_changed else Result.UNCHANGED,
            code,
            plan=plan,
            may_repeat=may_repeat,
            resources=resources,
            run=journal.run if journal is not None and journal.steps else None,
            error=error,
            next_step=step,
        )

    def _undone(self, address: Address, journal: Journal, back: TakenBack) -> ResourceReport:
        """What came of all that a run did to one resource."""
        steps = [step for step in journal.steps if step.address == address and step.fate is not Fate.REFUSED]
        left = next((each for each in back.left if each.address == address), None)
        if left is not None:
            return _left(left)
        made = next((step for step in steps if step.makes), None)
        if not steps:
            state = State.NOT_BEGUN
        elif any(step.fate is not Fate.UNDONE for step in steps):
            state = State.UNKNOWN
        else:
            state = State.TAKEN_BACK if made is not None else State.RESTORED
        open_said = "not taken back yet" if state is State.UNKNOWN else ""
        return ResourceReport(
            section=address.section,
            name=address.name,
            state=state,
            id=steps[0].id if steps else None,
            said=open_said,
            next_step=_AGAIN if open_said else "",
        )

    def _ended(
        self,
        journal: Journal,
        back: TakenBack,
        *,
        resources: Sequence[ResourceReport],
        code: int,
        may_repeat: bool,
        plan: Plan | None = None,
        error: str = "",
        next_step: str = "",
    ) -> Outcome:
        result = Result.ROLLED_BACK if journal.steps else Result.FAILED
        if back.pending is not None:
            result, code, may_repeat = Result.PENDING, ExitCode.RUN_AGAIN, True
            error = "; ".join(part for part in (error, f"taking back: {said_of(back.pending)}") if part)
            next_step = f"{next_step_for(back.pending)} {_AGAIN}"
        elif back.left:
            result, code, may_repeat = Result.INCOMPLETE, ExitCode.NEEDS_A_PERSON, False
            named = ", ".join(str(each.address) for each in back.left)
            error = "; ".join(part for part in (error, f"not taken back: {named}") if part)
            next_step = "Do by hand what is said of each; then run the command again."
        return self._outcome(
            result,
            code,
            plan=plan,
            may_repeat=may_repeat,
            resources=resources,
            run=journal.run,
            error=error,
            next_step=next_step,
        )

    def _outcome(
        self,
        result: Result,
        code: int,
        *,
        plan: Plan | None = None,
        may_repeat: bool = False,
        resources: Iterable[ResourceReport] = (),
        **more: Any,
    ) -> Outcome:
        return Outcome(
            result=result,
            exit_code=code,
            recoverable=may_repeat,
            resources=tuple(resources),
            notes=tuple(self._notes),
            warnings=(*self._warnings, *(plan.warnings if plan is not None else ())),
            **more,
        )


def _report(planned: Planned, state: State, **more: Any) -> ResourceReport:
    return ResourceReport(
        section=planned.address.section,
        name=planned.address.name,
        state=state,
        why=planned.why,
        changes=tuple(_change(planned.kind, each) for each in planned.changes),
        **more,
    )


def _change(kind: str, change: Change) -> FieldChange:
    is_secret = kind == "model-providers" and change.field == "config"

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return withheld(value) if is_secret else value
        if isinstance(value, list):
            return [shown(each) for each in value]
        return value if value is None or isinstance(value, bool | int | float) else str(value)

    return FieldChange(field=change.field, before=shown(change.before), after=shown(change.after))


def _older(address: Address, id: str, state: State) -> ResourceReport:
    return ResourceReport(
        section=address.section, name=address.name, id=id, state=state, why="a newer one takes over"
    )


def _stray(stray: Stray, state: State, failure: CarelineError | None = None) -> ResourceReport:
    section = next(name for name, each in SECTIONS.items() if each.kind == stray.kind)
    return ResourceReport(
        section=section,
        name=stray.name,
        id=stray.id,
        state=state,
        why="the file does not declare it any more",
        said=said_of(failure) if failure is not None else "",
        next_step=next_step_for(failure) if failure is not None else "",
    )


def _left(left: Left) -> ResourceReport:
    return ResourceReport(
        section=left.address.section,
        name=left.address.name,
        state=State.LEFT,
        id=left.id,
        said=left.said,
        next_step=left.next_step,
    )
