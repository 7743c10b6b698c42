"""The wheel holds everything that the service reads while it runs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("careline-*.whl"))


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "core", "state", "tools", "agent"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    with zipfile.ZipFile(wheel) as archive:
        missing = set(listed.stdout.split()) - set(archive.namelist())

    assert missing == set()


def test_the_migrations_are_in_it_where_the_code_looks(wheel: Path) -> None:
    revisions = {path.name for path in (ROOT / "alembic" / "versions").glob("*.py")}

    with zipfile.ZipFile(wheel) as archive:
        packaged = {
            Path(name).name
            for name in archive.namelist()
            if name.startswith("state/sql/migrations/versions/")
        }

    assert revisions
    assert packaged == revisions
