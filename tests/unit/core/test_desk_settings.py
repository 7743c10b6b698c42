"""A help desk that cannot be reached is refused at the start, by the name of what is missing."""

import pytest
from pydantic import ValidationError

from core.settings import Settings

WHOLE = {
    "zendesk": {"url": "https://shop.zendesk.com", "user": "agent@shop.example", "key": "k"},
    "intercom": {"key": "k", "type": "88"},
    "jira": {"url": "https://shop.atlassian.net", "user": "agent@shop.example", "key": "k", "project": "SUP"},
    "github": {"key": "k", "project": "shop/support"},
    "email": {"url": "mailto:team@shop.example"},
}
SMTP = {"CARELINE_SMTP_URL": "smtp://127.0.0.1"}


def configure(monkeypatch: pytest.MonkeyPatch, desk: str, values: dict[str, str], **more: str) -> None:
    variables = {"CARELINE_TICKET_DESK": desk, **SMTP, **more}
    variables |= {f"CARELINE_TICKET_DESK_{name.upper()}": value for name, value in values.items()}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("desk", WHOLE)
def test_a_whole_description_is_taken(desk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, desk, WHOLE[desk])

    assert Settings().ticket_desk == desk


@pytest.mark.parametrize(("desk", "missing"), [(desk, name) for desk in WHOLE for name in WHOLE[desk]])
def test_what_is_missing_is_named(desk: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, desk, {name: value for name, value in WHOLE[desk].items() if name != missing})

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert f"CARELINE_TICKET_DESK_{missing.upper()}" in str(refused.value)
    assert desk in str(refused.value)


@pytest.mark.parametrize(
    ("desk", "name", "value", "said"),
    [
        ("zendesk", "url", "http://shop.zendesk.com", "must be https://HOST"),
        ("zendesk", "url", "shop.zendesk.com", "must be https://HOST"),
        ("jira", "url", "https://[", "must be https://HOST"),
        ("intercom", "url", "ftp://api.intercom.io", "must be https://HOST"),
        ("github", "project", "support", "OWNER/REPOSITORY"),
        ("github", "project", "shop/support/../..", "OWNER/REPOSITORY"),
        ("github", "project", "shop/support?x", "OWNER/REPOSITORY"),
        ("jira", "project", 'SUP" OR project = "HR', "a project's key"),
        ("email", "url", "https://team", "mailto:ADDRESS"),
    ],
)
def test_a_value_that_cannot_work_is_refused_in_words(
    desk: str, name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, desk, WHOLE[desk] | {name: value})

    with pytest.raises(ValidationError) as refused:
        Settings()

    assert said in str(refused.value)


@pytest.mark.parametrize(
    "variables",
    [
        {"CARELINE_TICKET_DESK": "email", "CARELINE_TICKET_DESK_URL": "mailto:team@shop.example"},
        {"CARELINE_TICKET_FALLBACK_EMAIL": "team@shop.example"},
    ],
)
def test_tickets_by_email_need_a_mail_server(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError, match="CARELINE_SMTP_URL"):
        Settings()


def test_a_key_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, "zendesk", WHOLE["zendesk"] | {"key": "a-very-secret-token"})

    settings = Settings()

    assert "a-very-secret-token" not in repr(settings)
    monkeypatch.delenv("CARELINE_TICKET_DESK_URL")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "a-very-secret-token" not in str(refused.value)


def test_a_desk_on_this_machine_needs_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, "zendesk", WHOLE["zendesk"] | {"url": "http://127.0.0.1:8081/"})

    assert Settings().desk_url == "http://127.0.0.1:8081"
