"""Pages that are made from code say what the code says."""

import tomllib
from pathlib import Path

import pytest

from core.settings import Settings
from tests.docs import errors_page
from tests.docs.settings_page import EXAMPLE, page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_documented_as_it_is() -> None:
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page()


def test_the_file_of_settings_that_is_shown_can_be_used_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("careline.toml").write_text(EXAMPLE, encoding="utf-8")

    settings = Settings()

    written = tomllib.loads(EXAMPLE)
    assert settings.model_fields_set == written.keys()
    assert (settings.company_name, settings.port) == (written["company_name"], written["port"])
    assert settings.customers_api is not None
    assert settings.customers_api.customer.names == ("first_name", "last_name")
    assert settings.mcp_servers["shop"].tools["look_up"].risk == "read"


async def test_the_table_of_errors_is_what_the_code_does() -> None:
    assert (DOCS / "errors.md").read_text(encoding="utf-8") == await errors_page.page()
