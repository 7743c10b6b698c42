"""
Compare what a file declares with what the plane has: what is to be made, changed, made anew or left as it is.

A change that could not be taken back is not made on what stands: the resource is made anew, under the same name. That goes for
what is published, for references that no update changes, and for a stored secret, which nobody can read back. What a deployment
serves is held fast as it begins, so where its definition or prompt changes, the deployment is made anew, too; the old one serves
until the new one is active.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from agent.control.sealing import withheld
from agent.deploy.declared import SECTIONS, Address, Declaration, Declared
from agent.deploy.ports import Resource
from agent.deploy.reading import secrets_in
from agent.deploy.record import DeployRecord
from agent.deploy.stored_secrets import with_stored_secrets, withheld_in

_PUBLISHED = "published"
_OUT_OF_USE = frozenset({"deprecated", "completed"})
_SERVING = frozenset({"active", "spawning"})


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class New:
    """In the place of an id that there will be."""

    address: Address

    def __str__(self) -> str:
        return f"the new {self.address}"


@dataclass(frozen=True, slots=True)
class Change:
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """
    What becomes of one entry. `fields` may hold `New`; they are whole where it is made, else those that change. `found` is what
    the plane has now; `why` says for people why it is made anew.
    """

    declared: Declared
    action: Action
    fields: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    found: Resource | None = None
    why: str = ""

    @property
    def address(self) -> Address:
        return self.declared.address

    @property
    def kind(self) -> str:
        return self.declared.kind

    @property
    def id(self) -> str | None:
        """Of what stays; what is made has none yet."""
        has_one = self.action in (Action.KEEP, Action.UPDATE) and self.found is not None
        return str(self.found["id"]) if has_one and self.found is not None else None

    @property
    def is_made(self) -> bool:
        return self.action in (Action.CREATE, Action.REPLACE)

    @property
    def needs(self) -> tuple[Address, ...]:
        return tuple(dict.fromkeys(self.declared.named()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """An older deployment of the same name, which a newer one takes over from."""

    address: Address
    id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """What an earlier deploy of this file made, and the file does not declare any more."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`missing` are entries that should exist and do not; `warnings` are for people."""

    entries: tuple[Planned, ...]
    retired: tuple[Retired, ...]
    strays: tuple[Stray, ...]
    missing: tuple[Declared, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Planned, ...]:
        return tuple(each for each in self.entries if each.action is not Action.KEEP)

    @property
    def is_empty(self) -> bool:
        return not self.changes and not self.retired


def make_plan(
    declaration: Declaration,
    standing: Mapping[str, Sequence[Resource]],
    record: DeployRecord,
    *,
    own: Collection[str] = (),
) -> Plan:
    """
    `standing` by kind, newest first; where several have a name, the newest that is in use is the one that is meant. `own` are ids
    of what the run has made itself: that goes as a whole, so any change of it can be taken back.
    """
    planning = _Planning(standing, record, own)
    for declared in declaration.entries:
        planning.add(declared)
    return Plan(
        entries=tuple(planning.planned.values()),
        retired=tuple(planning.retired()),
        strays=tuple(planning.strays()),
        missing=tuple(planning.missing),
        warnings=tuple(planning.warnings),
    )


class _Planning:
    def __init__(
        self, standing: Mapping[str, Sequence[Resource]], record: DeployRecord, own: Collection[str]
    ) -> None:
        self._standing = standing
        self._record = record
        self._own = own
        self.planned: dict[Address, Planned] = {}
        self.missing: list[Declared] = []
        self.warnings: list[str] = []

    def add(self, declared: Declared) -> None:
        self.planned[declared.address] = self._decided(declared)

    def retired(self) -> Iterator[Retired]:
        """What serves beside the one that is meant: being replaced now, or left over by a deploy that did not wait."""
        for planned in self.planned.values():
            if planned.address.section != "deployments" or planned.declared.is_existing:
                continue
            for each in self._of_name("deployments", planned.address.name):
                is_replaced = planned.action is Action.REPLACE and each is planned.found
                is_left_over = str(each["id"]) != planned.id and self._record.made(str(each["id"]))
                if each["status"] in _SERVING and (is_replaced or is_left_over):
                    yield Retired(address=planned.address, id=str(each["id"]), status=str(each["status"]))

    def strays(self) -> Iterator[Stray]:
        """Those that depend on others first."""
        meant = {planned.id for planned in self.planned.values()}
        for section in reversed(tuple(SECTIONS.values())):
            for each in self._standing.get(section.kind, ()):
                id = str(each["id"])
                if id not in meant and self._record.made(id):
                    yield Stray(kind=section.kind, id=id, name=str(each["name"]))

    def _of_name(self, section: str, name: str) -> list[Resource]:
        """In use, newest first."""
        return [
            each
            for each in self._standing.get(SECTIONS[section].kind, ())
            if each["name"] == name and each.get("status") not in _OUT_OF_USE
        ]

    def _decided(self, declared: Declared) -> Planned:
        found = next(iter(self._of_name(declared.address.section, declared.address.name)), None)
        if declared.is_existing:
            if found is None:
                self.missing.append(declared)
            return Planned(declared=declared, action=Action.KEEP, found=found)
        wanted = {**declared.fields, **self._references(declared)}
        if found is None:
            return Planned(
                declared=declared, action=Action.CREATE, fields=wanted, changes=_as_changes(wanted, declared)
            )
        changes = tuple(self._changes(declared, wanted, found))
        why = self._why_anew(declared, found, changes)
        if why:
            return Planned(
                declared=declared, action=Action.REPLACE, fields=wanted, changes=changes, found=found, why=why
            )
        if not changes:
            return Planned(declared=declared, action=Action.KEEP, found=found)
        fields = {change.field: change.after for change in changes}
        if declared.kind == "model-providers" and "config" in fields:
            fields["config"] = with_stored_secrets(fields["config"], found["config"])
        return Planned(
            declared=declared,
            action=Action.UPDATE,
            fields=fields,
            changes=changes,
            found=found,
        )

    def _references(self, declared: Declared) -> dict[str, Any]:
        def id_of(target: Address) -> Any:
            return self.planned[target].id or New(target)

        return {
            wire: [id_of(each) for each in target]
            if isinstance(target, tuple)
            else (id_of(target) if target is not None else None)
            for wire, target in declared.references.items()
        }

    def _changes(self, declared: Declared, wanted: Mapping[str, Any], found: Resource) -> Iterator[Change]:
        for name, after in wanted.items():
            before = found.get(name)
            if declared.kind == "model-providers" and name == "config":
                if self._is_same_config(declared, after, found):
                    continue
            elif before == after:
                continue
            yield Change(name, before, after)
        if declared.status is not None and declared.status != found["status"]:
            yield Change("status", found["status"], declared.status)
        if declared.kind == "deployments" and found["status"] == "failed":
            yield Change("status", "failed", "spawning")

    def _is_same_config(self, declared: Declared, wanted: Mapping[str, Any], found: Resource) -> bool:
        if withheld(wanted) != found["config"]:
            return False
        written = dict(secrets_in(wanted))
        if not written:
            return True
        known = self._record.has_secrets(str(found["id"]), written)
        if known is None:
            self.warnings.append(
                f"{declared.address}: whether the plane has the secrets that stand in the file cannot be known here; they are "
                "taken for the same. Name a variable (env:NAME) to be sure"
            )
        return known is not False

    def _why_anew(self, declared: Declared, found: Resource, changes: Collection[Change]) -> str:
        """Empty where it need not be."""
        names = {change.field for change in changes}
        fixed = sorted(names & declared.section.fixed)
        if fixed:
            return f"{', '.join(fixed)} of a resource cannot be changed"
        if names and found.get("status") == _PUBLISHED:
            return "it is published, and what is published does not change"
        if found["id"] not in self._own:
            if "status" in names and declared.status == _PUBLISHED:
                return "publishing cannot be taken back"
            if (
                declared.kind == "model-providers"
                and "config" in names
                and self._loses_secret(declared, found)
            ):
                return "its stored secret could not be restored"
        if declared.kind == "deployments":
            return self._why_stale(declared, found)
        return ""

    def _loses_secret(self, declared: Declared, found: Resource) -> bool:
        """Whether a secret that the plane has, and shows to nobody, would be gone."""
        wanted, stored = declared.fields["config"], set(withheld_in(found["config"]))
        if stored - set(withheld_in(with_stored_secrets(wanted, found["config"]))):
            return True
        return bool(stored) and self._record.has_secrets(str(found["id"]), dict(secrets_in(wanted))) is False

    def _why_stale(self, declared: Declared, found: Resource) -> str:
        """Where what it holds fast is not what is declared."""
        definition = self.planned[_one(declared.references["agent_definition_id"])]
        served = [definition]
        prompt = definition.declared.references.get("system_prompt_id")
        if isinstance(prompt, Address):
            served.append(self.planned[prompt])
        for each in served:
            if each.action is not Action.KEEP:
                return f"it holds fast {each.address} as it was"
            if each.found is not None and _time(each.found["updated_at"]) > _time(found["created_at"]):
                return f"{each.address} has changed since it was made"
        return ""


def _one(target: Address | tuple[Address, ...] | None) -> Address:
    if not isinstance(target, Address):
        raise TypeError(f"a deployment names one definition, not {target}")
    return target


def _as_changes(wanted: Mapping[str, Any], declared: Declared) -> tuple[Change, ...]:
    """What a new one gets, but for what is empty anyway."""
    given = [Change(name, None, value) for name, value in wanted.items() if value not in (None, {}, [], "")]
    if declared.status is not None:
        given.append(Change("status", None, declared.status))
    return tuple(given)


def _time(written: Any) -> datetime:
    return datetime.fromisoformat(str(written))
