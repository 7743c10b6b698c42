"""
One deploy from beginning to end: finish what an interrupted one left, plan, apply, wait, and keep or take back.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from agent.control.sealing import WITHHELD
from agent.deploy.applying import Applied, Applying, create
from agent.deploy.declared import Address, Declaration
from agent.deploy.journal import Fate, Journal, Phase, Step
from agent.deploy.outcome import Observer, Outcome, Silent
from agent.deploy.planning import Plan, make_plan
from agent.deploy.ports import Plane, Resource, was_refused
from agent.deploy.pruning import prune
from agent.deploy.reading import secrets_in
from agent.deploy.record import DeployRecord
from agent.deploy.reporting import Reporting
from agent.deploy.rollback import Rollback, TakenBack, has_key
from agent.deploy.waiting import wait_until_active
from core.clock import Clock
from core.errors import CarelineError, DataIntegrityFailed

_CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """
    `wait_seconds` None: deployments are not waited for. `retires`: what a newer deployment takes over from is ended, once that is
    active; else it stays, so that one call of the plane goes back to it.
    """

    wait_seconds: float | None = 300.0
    at_once: int = 4
    prunes: bool = False
    retires: bool = True


class Deploy:
    """`folder` is held by the caller; it has the journal and the record."""

    def __init__(
        self,
        declaration: Declaration,
        plane: Plane,
        folder: Path,
        *,
        clock: Clock,
        wishes: Wishes | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._declaration = declaration
        self._plane = plane
        self._folder = folder
        self._clock = clock
        self._wishes = wishes or Wishes()
        self._observer = observer or Silent()
        self._reporting = Reporting(self._observer, declaration.warnings)
        self._record = DeployRecord()

    async def show(self) -> Outcome:
        """What would be done; nothing is."""
        return await self._ended(self._show)

    async def take_back(self) -> Outcome:
        """End an interrupted run by taking back what it did."""
        return await self._ended(self._take_back)

    async def run(self) -> Outcome:
        return await self._ended(self._run)

    async def _ended(self, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """What ends it before or beside its steps is an outcome, too; the journal has what was begun."""
        try:
            self._record = DeployRecord.load(self._folder)
            return await work()
        except DataIntegrityFailed as exc:
            return self._reporting.unreadable(exc)
        except CarelineError as exc:
            return self._reporting.unplanned(exc, is_open=Journal.is_in(self._folder))
        except OSError as exc:
            return self._reporting.unwritable(exc, is_open=Journal.is_in(self._folder))

    async def _show(self) -> Outcome:
        if Journal.is_in(self._folder):
            self._reporting.note(
                "A run of this file has not ended: a deploy completes it or takes it back first."
            )
        plan = await self._plan()
        return self._reporting.planned(plan, prunes=self._wishes.prunes)

    async def _take_back(self) -> Outcome:
        journal = Journal.open(self._folder)
        if journal is None:
            return self._reporting.nothing_open()
        if journal.phase is Phase.APPLIED:
            self._keep(journal)
            return self._reporting.nothing_open()
        return self._reporting.taken_back(journal, await self._back(journal, "it was asked for"))

    async def _run(self) -> Outcome:
        journal = await self._resumed()
        if isinstance(journal, Outcome):
            return journal
        plan = await self._plan(journal)
        if plan.missing:
            if journal is not None:
                back = await self._back(journal, "what it needs is not there any more")
                if back.pending is not None or back.left:
                    return self._reporting.taken_back(journal, back)
            return self._reporting.planned(plan, prunes=False)
        ids: Mapping[Address, str] = {each.address: each.id for each in plan.entries if each.id is not None}
        if not plan.is_empty or journal is not None or self._is_awaited(plan):
            journal = journal or self._begun()
            applied = await self._apply(plan, journal)
            if applied.failures:
                failure = next(iter(applied.failures.values()))
                back = await self._back(journal, f"{type(failure).__name__}: {failure}")
                return self._reporting.failed(plan, applied, journal, back)
            ids = applied.ids
            self._keep(journal, ids)
        pruned = None
        if self._wishes.prunes:
            pruned = await prune(
                self._plane, plan.strays, self._record, self._folder, observer=self._observer
            )
        return self._reporting.applied(plan, ids, journal, pruned)

    async def _resumed(self) -> Journal | Outcome | None:
        """The journal of an interrupted run that goes on now; an outcome where it could not be ended."""
        journal = Journal.open(self._folder)
        if journal is None:
            return None
        if journal.phase is Phase.APPLIED:
            self._keep(journal)
            return None
        when = f"The run of {journal.began_at:%Y-%m-%d %H:%M} UTC"
        if journal.phase is Phase.FORWARD and journal.digest == self._declaration.digest:
            self._reporting.note(f"{when} was interrupted: it goes on.")
            await self._settle(journal)
            return journal
        changed = "the file has changed since" if journal.phase is Phase.FORWARD else "it had failed"
        back = await self._back(journal, changed)
        if back.pending is not None or back.left:
            return self._reporting.taken_back(journal, back)
        self._reporting.note(f"{when} was interrupted, and {changed}: what it did is taken back.")
        return None

    async def _settle(self, journal: Journal) -> None:
        """What may have been made is asked for again by its key, so that it is known."""
        for step in journal.steps:
            if not step.makes or step.fate is not Fate.UNKNOWN:
                continue
            if not has_key(step, self._clock.now()):
                await self._look_for(step, journal)
                continue
            try:
                await create(self._plane, journal, step)
            except CarelineError as exc:
                if not was_refused(exc):
                    raise

    async def _look_for(self, step: Step, journal: Journal) -> None:
        """Its key is forgotten by now, so that what it made is known by what it says and when it was made, or not at all."""
        for each in await self._plane.listed(step.intent.kind):
            made_at = each.get("created_at")
            is_late = (
                made_at is not None and datetime.fromisoformat(str(made_at)) > step.intent.at - _CLOCKS_DIFFER
            )
            if is_late and all(each.get(name) == value for name, value in step.intent.fields.items()):
                journal.was_done(step, str(each["id"]))
                return
        journal.was_refused(step)

    async def _plan(self, journal: Journal | None = None) -> Plan:
        kinds = {each.section.kind for each in self._declaration.entries}
        kinds |= self._record.kinds()
        standing: dict[str, Sequence[Resource]] = {
            kind: await self._plane.listed(kind) for kind in sorted(kinds)
        }
        own = frozenset(journal.made()) if journal is not None else frozenset()
        plan = make_plan(self._declaration, standing, self._record, own=own)
        may_retire = self._wishes.retires and self._wishes.wait_seconds is not None
        return plan if may_retire else replace(plan, retired=())

    def _begun(self) -> Journal:
        return Journal.begin(
            self._folder, run=uuid4().hex, digest=self._declaration.digest, at=self._clock.now()
        )

    def _is_awaited(self, plan: Plan) -> bool:
        """Whether a deployment that is as it should be is not active yet."""
        return self._wishes.wait_seconds is not None and any(
            each.found is not None and each.found.get("status") == "spawning" for each in plan.entries
        )

    async def _apply(self, plan: Plan, journal: Journal) -> Applied:
        applying = Applying(
            self._plane,
            journal,
            clock=self._clock,
            at_once=self._wishes.at_once,
            observer=self._observer,
        )
        applied = await applying.carry_out(plan)
        if applied.failures or self._wishes.wait_seconds is None:
            return applied
        deployments = {
            each.address: applied.ids[each.address]
            for each in plan.entries
            if each.address.section == "deployments" and not each.declared.is_existing
        }
        applied.failures |= await wait_until_active(
            self._plane,
            deployments,
            seconds=self._wishes.wait_seconds,
            clock=self._clock,
            observer=self._observer,
        )
        return applied if applied.failures else await applying.retire(plan.retired)

    async def _back(self, journal: Journal, why: str) -> TakenBack:
        """Done to the end, or `pending` with the journal kept; what must be left is a person's, and no later run's."""
        if journal.phase is Phase.FORWARD:
            journal.turn_back(why)
        back = await Rollback(self._plane, journal, clock=self._clock, observer=self._observer).run()
        if back.pending is None:
            for left in back.left:
                if left.was_made and left.id is not None:
                    self._record.add(left.id, kind=left.kind, name=left.address.name)
            self._record.save(self._folder)
            journal.remove()
        return back

    def _keep(self, journal: Journal, ids: Mapping[Address, str] | None = None) -> None:
        """What the run made is this file's from now on; twice does no harm."""
        if journal.phase is not Phase.APPLIED:
            journal.was_applied()
        for id, step in journal.made().items():
            self._record.add(id, kind=step.intent.kind, name=step.intent.name)
        for step in journal.steps:
            written = dict(secrets_in(step.intent.fields.get("config") or {}))
            is_known = bool(written) and WITHHELD not in written.values()
            if step.intent.kind == "model-providers" and step.id is not None and is_known:
                self._record.add_secrets(step.id, written)
        self._record.save(self._folder)
        journal.remove()
