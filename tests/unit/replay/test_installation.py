"""Secrets, hosts and instructions of an installation are known to whoever looks for them in replies; what is for all is not."""

from pathlib import Path

import pytest

from agent.replay.installation import internal_of
from core.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url="postgresql+psycopg://shop:Pg-Passw0rd%21@db-1.shop.example:5432,db-2.shop.example/careline",
        redis_url="redis://127.0.0.1:6379/0",
        model_url="https://models.shop.example/v1",
        model="m-1",
        model_key="model-key-value-1",
        further_models=[{"model": "m-2", "key": "second-key-value-2"}],
        api_keys="web:server-key-0123456789:default:server",
        contact_address="https://help.shop.example/contact",
        ticket_fallback_email=None,
        company_name="Lamps",
    )


@pytest.mark.parametrize(
    "secret", ["Pg-Passw0rd!", "model-key-value-1", "second-key-value-2", "server-key-0123456789"]
)
def test_every_secret_of_the_settings_is_found(settings: Settings, secret: str) -> None:
    assert list(internal_of(settings).secrets_in(f"It is {secret}, I think"))


@pytest.mark.parametrize("host", ["db-1.shop.example", "db-2.shop.example", "models.shop.example"])
def test_every_host_of_a_dependency_is_found(settings: Settings, host: str) -> None:
    assert list(internal_of(settings).found(f"I asked {host}.")) == [("a name of the inside", host)]


def test_tools_and_instructions_are_found_and_what_is_for_customers_is_not(settings: Settings) -> None:
    internal = internal_of(settings, tools=["open_ticket", "handoff"])

    assert list(internal.found("I called open_ticket"))
    assert list(internal.found("You are the support assistant of Lamps, a program and not a person"))
    assert not list(internal.found("Ask for a handoff, or write to https://help.shop.example/contact."))
    assert not list(internal.secrets_in("Lamps has lamps."))
