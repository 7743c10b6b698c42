"""Pages that are made from code say what the code says."""

from pathlib import Path

from tests.docs.settings_page import page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_documented_as_it_is() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page()
