"""The file tree shows the architecture: every package is one that docs/architecture.md names."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_top_level_packages_are_those_of_the_architecture() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert packages == {"core", "state", "tools", "agent", "tests", "bench"}


def test_alembic_folder_is_no_package() -> None:
    """It would hide the alembic library."""
    assert (ROOT / "alembic").is_dir()
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_every_module_opens_with_a_docstring() -> None:
    bare = [
        str(path.relative_to(ROOT))
        for package in ("core", "state", "tools", "agent", "bench")
        for path in (ROOT / package).rglob("*.py")
        if not path.read_text(encoding="utf-8").lstrip().startswith('"""')
    ]

    assert bare == []
