"""`careline import-log` writes what it can read, names what it cannot, and leaves nothing half written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.replay.formats import read_log

CSV = "id,role,text\nc1,customer,hi\nc2,parrot,hello\nc3,customer,hey\n"


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["import-log", *map(str, arguments)], env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def test_what_can_be_read_is_written_and_the_rest_is_named(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "log.jsonl"

    code, said = run(log, "--out", out)

    assert code == 0
    assert "log.csv, line 3: nobody knows whether 'parrot'" in said
    assert "1 line could not be read" in said
    assert f"2 conversations in {out}" in said
    assert [each.id for each in read_log(out)] == ["c1", "c3"]
    assert out.stat().st_mode & 0o077 == 0


def test_strict_stops_at_the_first_and_leaves_what_was_there(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "log.jsonl"
    out.write_text("before\n", encoding="utf-8")

    code, said = run(log, "--out", out, "--strict")

    assert code == 1
    assert "line 3" in said
    assert out.read_text(encoding="utf-8") == "before\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "log.jsonl"]


def test_a_mapping_is_used_and_a_wrong_one_named(tmp_path: Path) -> None:
    log = tmp_path / "chat.txt"
    log.write_text("Tom: hi\n", encoding="utf-8")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("format: txt\nroles: {customer: Tom}\n", encoding="utf-8")
    out = tmp_path / "log.jsonl"

    assert run(log, "--out", out, "--mapping", mapping)[0] == 0

    mapping.write_text("format: txt\nrules: {customer: Tom}\n", encoding="utf-8")
    code, said = run(log, "--out", out, "--mapping", mapping)
    assert code == 1
    assert "mapping.yaml:2: rules: no such field; did you mean" in said


def test_nothing_to_be_read_is_a_failure(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("id,role,text\nc2,parrot,hello\n", encoding="utf-8")

    assert run(log, "--out", tmp_path / "log.jsonl")[0] == 1
