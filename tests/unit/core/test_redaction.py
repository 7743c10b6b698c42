"""Claims about what a log never shows."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.telemetry.redaction import needs_no_redaction, redacted, redacted_field, redacted_text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("mail anna.lee+x@shop.example please", "anna.lee"),
        ("call +49 170 1234567 now", "1234567"),
        ("call (415) 555-2671 now", "555"),
        ("call 415.555.2671 now", "555"),
        ("tel:004917012345678", "0170"),
        ("card 4111 1111 1111 1111 exp", "1111"),
        ("card 4111-1111-1111-1111", "1111"),
        ("card 5500005555555559", "5555"),
        ("Authorization: Bearer abc.def-ghi", "abc.def"),
        ("header Basic dXNlcjpwYXNz", "dXNl"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "eyJ"),
        ("postgresql+psycopg://careline:hunter22@db/careline", "hunter22"),
        ("redis://:hunter22@cache:6379/0", "hunter22"),
        ("smtp://user:p%40ss:w@mail:25", "p%40ss"),
        ("invalid URL 'amqp://user:p/hunter22@broker'", "hunter22"),
        ("connecting to postgresql+psycopg://user:p@hunter22@db:5432/x failed", "hunter22"),
        ("host=db user=me password='hunter22' dbname=x", "hunter22"),
        ("postgresql://db/careline?user=me&password=hunter22", "hunter22"),
        ("password=hunter22&x=1", "hunter22"),
        ('{"api_key": "hunter22"}', "hunter22"),
        ("sk-proj-abcdefghijklmnop", "abcdefgh"),
        ("ghp_abcdefghijklmnop1234", "abcdefgh"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN"),
    ],
)
def test_personal_data_and_secrets_are_taken_out_wherever_they_stand(text: str, secret: str) -> None:
    nested = redacted({"details": [{"said": (text,)}], "error": ValueError(text)})

    assert secret not in redacted_text(text)
    assert secret not in redacted_text("x" * 100 + " " + text)
    assert secret not in str(nested)


@pytest.mark.parametrize(
    "text",
    [
        "tool.retry_scheduled",
        "conv_k3jh4kj3h4k3jh4kj3h4abcd",
        "R-7QK2M4XWZC",
        "2026-11-22T07:24:25.123+00:00",
        "on 2026-11-22",
        "took 12.5 of 300 ms",
        "http://127.0.0.1:8000/v1/chat",
        "order 10045",
        "tickets: no answer within 2 s",
    ],
)
def test_what_operators_need_stays(text: str) -> None:
    assert redacted_text(text) == text


@pytest.mark.parametrize(
    "name",
    ["password", "smtp_password", "api_key", "model_key", "Authorization", "cookie", "access_token", "email"],
)
def test_a_field_that_is_named_like_a_secret_shows_nothing(name: str) -> None:
    assert redacted_field(name, "x9") == "[withheld]"
    assert redacted({name: ["x9"]}) == {name: "[withheld]"}


@pytest.mark.parametrize("name", ["key", "idempotency_key", "prompt_tokens", "tool", "reason"])
def test_the_key_of_an_effect_is_no_secret(name: str) -> None:
    assert redacted_field(name, "eff_k3jh4kj3h4k3jh4kj3h4abcd") == "eff_k3jh4kj3h4k3jh4kj3h4abcd"


def test_a_time_stays_readable() -> None:
    at = datetime(2026, 11, 22, 8, 52, 15, 369123, tzinfo=UTC)

    assert redacted({"at": at}) == {"at": "2026-11-22T08:52:15.369+00:00"}


def test_a_customers_words_are_only_counted() -> None:
    assert redacted_field("text", "I am sad") == "[8 characters]"
    assert redacted({"arguments": {"body": "I am sad"}}) == {"arguments": {"body": "[8 characters]"}}


def test_huge_and_deep_values_are_cut() -> None:
    deep: dict[str, object] = {}
    deep["in"] = deep

    assert len(redacted_text("word " * 100_000)) < 2_100
    assert "too deep" in str(redacted(deep))
    assert len(redacted(list(range(10_000)))) == 50


def test_a_value_that_cannot_describe_itself_is_named_by_its_type() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert redacted(Broken()) == "<Broken>"


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(), st.lists)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_redaction_never_fails(value: object) -> None:
    redacted(value)


@given(
    number=st.from_regex(r"\+?[1-9][0-9]{8,13}", fullmatch=True),
    before=st.sampled_from(["", " ", "-", "(", "<", "=", ": ", "\n", "tel:"]),
    after=st.sampled_from(["", " ", ".", ")", ">", ",", "\n", "!"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_run_of_nine_digits_survives(number: str, before: str, after: str) -> None:
    assert number.removeprefix("+") not in redacted_text(f"{before}{number}{after}")


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=80)
    | st.sampled_from(
        ["anna@shop.example", "+49 170 1234567", "sk-proj-abcdefghijklmnop", "bearer abcdef123"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "password", "email", "query", "n", "api_key"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_what_needs_no_redaction_is_left_alone_by_it(value: Any) -> None:
    """The quick look may err towards redacting, never away from it."""
    if needs_no_redaction(json.dumps(value, ensure_ascii=False)):
        assert redacted(value, keeps_words=True) == value


def test_the_quick_look_lets_ordinary_facts_pass() -> None:
    facts = {"tool": "search", "arguments": {"query": "reset my kettle"}, "attempts": 1, "score": 0.7231}

    assert needs_no_redaction(json.dumps(facts))
    assert not needs_no_redaction(json.dumps({"wishes": [{"text": "I am anna@shop.example"}]}))
    assert not needs_no_redaction(json.dumps({"cookie": "abc"}))
