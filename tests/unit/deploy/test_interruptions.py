"""A deploy that dies or fails anywhere: the next one completes or takes back, and nothing is there twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.deploy.folder import RunsAlready, held
from agent.deploy.journal import Journal
from agent.deploy.outcome import Result, State
from agent.deploy.reading import read_declaration
from agent.deploy.run import Deploy, Wishes
from core.clock import SystemClock
from core.errors import CarelineError, Conflict, DependencyRejectedInput, DependencyUnavailable
from tests.deploy.plane_content import Content, by_name
from tests.unit.deploy.files import SHOP, deploy
from tests.unit.deploy.memory_plane import MemoryPlane, When

CHANGED = (
    SHOP.replace("Be kind.", "Be brief.")
    .replace("Answers customers", "Sells")
    .replace("timeout: 20", "timeout: 5")
)


class Killed(BaseException):
    """In the place of SIGKILL: nothing that the deploy does afterwards comes about."""


@contextmanager
def killed_at(place: int, monkeypatch: pytest.MonkeyPatch, *, is_written: bool) -> Iterator[None]:
    """Die at the n-th line of the journal, just before it is on disk or just after."""
    written = 0
    write: Callable[[Journal, Any], None] = Journal._write

    def dying(journal: Journal, line: Any) -> None:
        nonlocal written
        written += 1
        if written >= place and not (is_written and written == place):
            raise Killed
        write(journal, line)
        if written >= place:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_write", dying)
        yield


def unknown_at(place: int, when: When, number: int, what: str, now: When) -> CarelineError | None:
    if (number, now) != (place, when):
        return None
    return DependencyUnavailable("plane", "away", may_have_happened=True)


def without_ids(plane: MemoryPlane) -> Content:
    return by_name(plane.all(), without=frozenset({"id", "created_at"}))


async def clean(*texts: str, folder: Path) -> tuple[Content, int]:
    """What undisturbed deploys of these end in, and how many journal lines the last one writes."""
    plane = MemoryPlane()
    lines = 0
    write = Journal._write

    def counting(journal: Journal, line: Any) -> None:
        nonlocal lines
        lines += 1
        write(journal, line)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "_write", counting)
        for text in texts:
            lines = 0
            assert (await deploy(plane, folder, text)).exit_code == 0
    return without_ids(plane), lines


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("before", [(), (SHOP,)])
async def test_killed_anywhere_the_next_run_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...], is_written: bool
) -> None:
    expected, lines = await clean(*before, CHANGED, folder=tmp_path / "clean")
    assert lines > 10

    for place in range(1, lines + 1):
        plane, folder = MemoryPlane(), tmp_path / str(place)
        for text in before:
            await deploy(plane, folder, text)
        with killed_at(place, monkeypatch, is_written=is_written), pytest.raises(Killed):
            await deploy(plane, folder, CHANGED)

        outcome = await deploy(plane, folder, CHANGED)

        assert outcome.exit_code == 0, place
        assert without_ids(plane) == expected, place
        assert (await deploy(plane, folder, CHANGED)).result is Result.UNCHANGED, place


@pytest.mark.parametrize("is_written", [False, True])
async def test_killed_anywhere_it_can_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    _, lines = await clean(SHOP, CHANGED, folder=tmp_path / "clean")

    for place in range(1, lines + 1):
        plane, folder = MemoryPlane(), tmp_path / str(place)
        await deploy(plane, folder, SHOP)
        before = plane.all()
        with killed_at(place, monkeypatch, is_written=is_written), pytest.raises(Killed):
            await deploy(plane, folder, CHANGED)
        is_applied = is_written and place == lines

        running = Deploy(read_declaration(folder / "shop.yaml"), plane, folder / "state", clock=SystemClock())
        outcome = await running.take_back()

        assert outcome.exit_code == 0, place
        # A deployment that took over already is given back by probes, which memory's pass when they are asked.
        for row in plane.rows["deployments"]:
            await plane.get("deployments", row["id"])
        assert is_applied or plane.all() == before, place
        assert not (folder / "state" / "journal.jsonl").exists()


async def test_killed_and_changed_the_file_is_applied_after_taking_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, lines = await clean("tools:\n  only: {json_schema: {}}\n", folder=tmp_path / "clean")
    _, lines = await clean(SHOP, folder=tmp_path / "whole")

    for place in range(2, lines):
        plane, folder = MemoryPlane(), tmp_path / str(place)
        with killed_at(place, monkeypatch, is_written=True), pytest.raises(Killed):
            await deploy(plane, folder, SHOP)

        outcome = await deploy(plane, folder, "tools:\n  only: {json_schema: {}}\n")

        assert outcome.exit_code == 0
        assert without_ids(plane) == expected, place


@pytest.mark.parametrize("is_written", [False, True])
async def test_killed_while_it_takes_back_the_next_run_goes_on_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    expected, _ = await clean(SHOP, folder=tmp_path / "clean")

    for place in range(1, 40):
        plane, folder = MemoryPlane(), tmp_path / str(place)
        plane.failing["live"] = "its provider is away"
        try:
            with killed_at(place, monkeypatch, is_written=is_written):
                await deploy(plane, folder)
        except Killed:
            pass
        else:
            assert place > 20
            return
        plane.failing.clear()

        assert (await deploy(plane, folder)).exit_code == 0, place
        assert without_ids(plane) == expected, place
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("text", [SHOP, CHANGED])
async def test_a_request_of_unknown_fate_is_taken_back_either_way(
    tmp_path: Path, text: str, when: When
) -> None:
    for place in range(1, 20):
        plane, folder = MemoryPlane(), tmp_path / str(place)
        if text is CHANGED:
            await deploy(plane, folder, SHOP)
        before, writes = plane.all(), len(plane.writes)
        plane.fault = partial(unknown_at, writes + place, when)

        outcome = await deploy(plane, folder, text)

        if outcome.exit_code == 0:
            assert place > 4
            return
        for row in plane.rows["deployments"]:
            await plane.get("deployments", row["id"])
        assert (outcome.result, outcome.exit_code, outcome.recoverable) == (Result.ROLLED_BACK, 4, True)
        assert plane.all() == before, place
    pytest.fail("it never came to its end")


async def test_a_plane_that_stays_away_leaves_the_rest_to_the_next_run(tmp_path: Path) -> None:
    plane = MemoryPlane()
    plane.fault = lambda number, what, when: DependencyUnavailable("plane", "away") if number > 3 else None

    first = await deploy(plane, tmp_path)
    assert (first.result, first.exit_code) == (Result.PENDING, 4)
    assert "journal" in first.next_step
    assert any(each.state is State.UNKNOWN for each in first.resources)
    plane.fault = lambda number, what, when: None

    second = await deploy(plane, tmp_path)

    assert second.exit_code == 0
    assert sorted(plane.names("tools")) == ["open_ticket", "search_knowledge"]


async def test_what_somebody_else_has_come_to_use_is_left_and_told(tmp_path: Path) -> None:
    plane = MemoryPlane()

    def fault(number: int, what: str, when: When) -> CarelineError | None:
        if what == "create deployments":
            return DependencyRejectedInput("plane", "no")
        if what == "delete agent-classes":
            return Conflict("In use by theirs")
        return None

    plane.fault = fault

    outcome = await deploy(plane, tmp_path)

    assert (outcome.result, outcome.exit_code, outcome.recoverable) == (Result.INCOMPLETE, 3, False)
    left = next(each for each in outcome.resources if each.state is State.LEFT)
    assert (left.section, left.name, left.id) == ("classes", "support", plane.rows["agent-classes"][0]["id"])
    assert "theirs" in left.said
    assert "by hand" in left.next_step
    plane.fault = lambda number, what, when: None
    assert (await deploy(plane, tmp_path)).exit_code == 0


async def test_what_somebody_else_has_changed_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)

    def fault(number: int, what: str, when: When) -> CarelineError | None:
        if what == "create system-prompts":
            plane.one("agent-classes", "support")["description"] = "Theirs"
            return DependencyRejectedInput("plane", "no")
        return None

    plane.fault = fault

    outcome = await deploy(plane, tmp_path, CHANGED)

    assert outcome.exit_code == 3
    left = next(each for each in outcome.resources if each.state is State.LEFT)
    assert "somebody else" in left.said
    assert "Answers customers" in left.next_step
    assert plane.one("agent-classes", "support")["description"] == "Theirs"


async def test_a_key_that_the_plane_has_forgotten_makes_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(hours=50)

    for place in range(2, 14):
        plane, folder = MemoryPlane(), tmp_path / str(place)
        with killed_at(place, monkeypatch, is_written=False), pytest.raises(Killed):
            await deploy(plane, folder)
        plane._by_key.clear()

        outcome = await deploy(plane, folder, clock=Later())

        assert outcome.exit_code == 0
        assert [len(rows) for rows in plane.rows.values()] == [1, 1, 2, 1, 1, 1], place


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with held(tmp_path / "state"), pytest.raises(RunsAlready), held(tmp_path / "state"):
        pass

    with held(tmp_path / "state"):
        pass


async def test_a_line_that_was_not_written_to_its_end_is_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = MemoryPlane()
    with killed_at(6, monkeypatch, is_written=True), pytest.raises(Killed):
        await deploy(plane, tmp_path)
    journal = tmp_path / "state" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"line":"intent","numb')

    outcome = await deploy(plane, tmp_path)

    assert outcome.exit_code == 0
    assert [len(rows) for rows in plane.rows.values()] == [1, 1, 2, 1, 1, 1]


async def test_a_journal_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal.jsonl").write_text("nonsense\n")
    plane = MemoryPlane()

    outcome = await deploy(plane, tmp_path)

    assert (outcome.result, outcome.exit_code) == (Result.PENDING, 3)
    assert plane.writes == []
    assert "journal.jsonl:1" in outcome.error


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    plane = MemoryPlane()
    (tmp_path / "shop.yaml").write_text(SHOP)
    running = Deploy(
        read_declaration(tmp_path / "shop.yaml"),
        plane,
        tmp_path / "state",
        clock=SystemClock(),
        wishes=Wishes(),
    )

    outcome = await running.show()

    assert outcome.result is Result.PLANNED
    assert {each.state for each in outcome.resources} == {State.TO_CREATE}
    assert plane.writes == []
    assert not (tmp_path / "state").exists()
