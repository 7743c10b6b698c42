"""Claims about settings that cannot be used: where they stand, what is wrong and what to do, in nobody's internals."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.cli.wrong_settings import WrongSetting, wrong_settings
from core.settings import Settings


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wrong(toml: str = "", **given: Any) -> list[WrongSetting]:
    if toml:
        Path("careline.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ValidationError) as refused:
        Settings(**given)
    return list(wrong_settings(refused.value))


CRM = '[customers_api]\nurl = "https://crm.example"\npath = "/c/{customer_id}"\n'


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("prot = 80", "careline.toml: prot: no such setting; did you mean port?"),
        ("colour = 1", "careline.toml: colour: no such setting; docs/settings.md lists all"),
        ('port = "many"', "careline.toml: port: must be a whole number"),
        ("port = 70000", "careline.toml: port: must be at most 65535"),
        ('log_format = "xml"', "careline.toml: log_format: must be one of 'json' or 'console'"),
        (
            CRM + 'customer = { customer_id = "id", name = 5 }',
            "careline.toml: customers_api.customer.name: must be text or must be a list",
        ),
        (
            CRM + 'customer = { customer_id = "id", name = "n", emial = "m" }',
            "careline.toml: customers_api.customer.emial: no such setting; docs/connectors.md lists all",
        ),
        ('[mcp_servers.shop]\ncommand = "x"', "careline.toml: mcp_servers.shop.tools: is missing"),
    ],
)
def test_what_stands_in_the_file_is_named_as_it_is_written_there(toml: str, said: str) -> None:
    (found,) = wrong(toml)

    assert found.said == said
    assert found.next_step.startswith(f"Correct {said.split(': ')[1]} in careline.toml; docs/")


def test_what_stands_in_the_environment_is_named_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARELINE_PORT", "many")
    monkeypatch.setenv("CARELINE_CUSTOMERS_API", '{"url": "https://crm.example", "customer": {}}')
    found = {each.place: each for each in wrong("port = 80")}

    assert found["CARELINE_PORT"].message == "must be a whole number"
    assert found["CARELINE_PORT"].next_step == "Correct CARELINE_PORT; docs/settings.md explains it."


def test_each_field_inside_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARELINE_CUSTOMERS_API", '{"url": "https://crm.example", "customer": {"name": 5}}')

    assert [each.said for each in wrong()] == [
        "CARELINE_CUSTOMERS_API: path: is missing",
        "CARELINE_CUSTOMERS_API: customer.customer_id: is missing",
        "CARELINE_CUSTOMERS_API: customer.name: must be text or must be a list",
    ]


def test_settings_that_do_not_go_together_are_all_named_where_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CARELINE_WEBHOOK_URL", "https://shop.example/hook")
    (from_variables,) = wrong()
    monkeypatch.delenv("CARELINE_WEBHOOK_URL")
    (from_file,) = wrong('webhook_url = "https://shop.example/hook"')

    assert from_variables.said == "CARELINE_WEBHOOK_URL needs CARELINE_WEBHOOK_SECRET, too"
    assert from_variables.next_step.startswith("Correct CARELINE_WEBHOOK_URL or CARELINE_WEBHOOK_SECRET; ")
    assert from_file.next_step.startswith("Correct webhook_url in careline.toml or CARELINE_WEBHOOK_SECRET; ")


def test_no_value_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARELINE_IDENTITY_SECRET", "much-too-short")
    monkeypatch.setenv("CARELINE_PORT", "s3cret")

    assert not any(secret in repr(wrong()) for secret in ("much-too-short", "s3cret"))
