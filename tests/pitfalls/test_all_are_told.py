"""The list of pitfalls and the tests that are named after them are the same list."""

import re
from pathlib import Path


def test_every_pitfall_has_one_test() -> None:
    here = Path(__file__).parent
    names = [name for file in sorted(here.glob("test_*.py")) for name in _tests_of(file.read_text())]

    assert sorted(names) == [f"n{number:02}" for number in range(1, 33)]


def _tests_of(source: str) -> list[str]:
    return re.findall(r"^async def test_(n\d\d)_", source, re.MULTILINE)
