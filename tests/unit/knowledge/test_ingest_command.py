"""
`careline ingest` as a newcomer meets it, on a real database file: once in a process of its own, and for the rest in this one.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from core.errors import DependencyUnavailable


@pytest.fixture
def help_centre(tmp_path: Path) -> Path:
    root = tmp_path / "help"
    root.mkdir()
    (root / "returns.md").write_text("# Return an item\n\nSend it back within 30 days.", encoding="utf-8")
    return root


def settings_in(tmp_path: Path) -> dict[str, str]:
    return {
        "CARELINE_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'careline.db'}",
        "CARELINE_DATA_DIR": str(tmp_path / "data"),
        "COLUMNS": "200",
    }


def ingest(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(env=settings_in(tmp_path)).invoke(app, ["ingest", *arguments])


def careline(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CARELINE_")}
    return subprocess.run(
        [sys.executable, "-m", "agent", "ingest", *arguments],
        env=environment | settings_in(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_articles_go_in_and_the_second_run_does_nothing(tmp_path: Path, help_centre: Path) -> None:
    first = careline(tmp_path, str(help_centre))
    second = careline(tmp_path, str(help_centre))

    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("1 added, 0 changed, 0 unchanged, 0 removed")
    assert "Version 1 of the knowledge base is served now." in first.stdout
    assert second.stdout == "0 added, 0 changed, 1 unchanged, 0 removed (0 texts embedded)\n"


def test_a_broken_file_is_named_and_the_exit_code_tells(tmp_path: Path, help_centre: Path) -> None:
    (help_centre / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")

    done = ingest(tmp_path, str(help_centre))

    assert done.exit_code == 1
    assert done.stdout.startswith("1 added")
    assert "broken.pdf: it is damaged" in done.stderr
    assert "1 did not go in; everything else did." in done.stderr


def test_articles_that_an_unreadable_line_kept_from_removal_are_told(tmp_path: Path) -> None:
    lines = tmp_path / "faq.jsonl"
    lines.write_text('{"id":"a","title":"A","body":"apples"}\n{"id":"b","title":"B","body":"pears"}\n')
    ingest(tmp_path, str(lines), "--source", "faq")

    lines.write_text('{"id":"a","title":"A","body":"apples"}\nnot json\n')
    done = ingest(tmp_path, str(lines), "--source", "faq")

    assert ", 0 removed" in done.stdout
    assert "faq: 1 no longer found there, but kept" in done.stderr


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = ingest(tmp_path, "nowhere/")

    assert done.exit_code == 1
    assert "nowhere: there is no such file or folder" in done.stderr


def test_a_store_that_is_down_is_explained_with_a_next_step(
    help_centre: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> NoReturn:
        raise DependencyUnavailable("sql", "connection refused")

    monkeypatch.setattr("agent.bootstrap.open_ingestion", down)
    done = CliRunner().invoke(app, ["ingest", str(help_centre)])

    assert done.exit_code == 1
    assert "connection refused" in done.stderr
    assert "CARELINE_DATABASE_URL" in done.stderr


def test_help_shows_examples(tmp_path: Path) -> None:
    done = ingest(tmp_path, "--help")

    assert done.exit_code == 0
    assert "careline ingest faq.jsonl manual.pdf --tenant acme" in done.stdout
