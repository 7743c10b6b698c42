"""Every bad input gets the contract's error; nothing of it is stored, and nothing of it is logged."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from tests.service.api_service import drip, serving

SECRET = "hunter2-of-the-customer"
PROBLEM_FIELDS = {
    "type",
    "title",
    "status",
    "code",
    "detail",
    "errors",
    "request_id",
    "retryable",
    "user_action",
    "stored",
}

Content = bytes | Callable[[], AsyncIterator[bytes]]


def of(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def said(**fields: Any) -> bytes:
    return of(message=SECRET, **fields)


BAD_INPUT: Mapping[str, tuple[Content, int, str, list[Any] | None]] = {
    "no body": (b"", 400, "invalid_input", None),
    "empty object": (b"{}", 422, "validation_error", ["body", "message"]),
    "empty": (of(message=""), 422, "validation_error", ["body", "message"]),
    "white space": (of(message=" \n\t\u2003"), 422, "validation_error", ["body", "message"]),
    "8,001 characters": (
        of(message=SECRET + "x" * (8001 - len(SECRET))),
        422,
        "validation_error",
        ["body", "message"],
    ),
    "lone surrogate": (said()[:-2] + b'\\ud800"}', 422, "validation_error", ["body", "message"]),
    "NUL": (of(message=SECRET + "\x00"), 422, "validation_error", ["body", "message"]),
    "message is a number": (of(message=1), 422, "validation_error", ["body", "message"]),
    "message is null": (of(message=None), 422, "validation_error", ["body", "message"]),
    "message is a list": (of(message=[SECRET]), 422, "validation_error", ["body", "message"]),
    "unknown field": (said(mesage="x"), 422, "validation_error", ["body", "mesage"]),
    "empty conversation": (said(conversation_id=""), 422, "validation_error", ["body", "conversation_id"]),
    "NUL in an id": (said(client_message_id="a\x00"), 422, "validation_error", ["body", "client_message_id"]),
    "long id": (said(client_message_id="a" * 129), 422, "validation_error", ["body", "client_message_id"]),
    "surrogate in a channel": (said(channel="\udfff"), 422, "validation_error", ["body", "channel"]),
    "long channel": (said(channel="x" * 65), 422, "validation_error", ["body", "channel"]),
    "no locale": (said(locale="not a locale"), 422, "validation_error", ["body", "locale"]),
    "metadata is a list": (said(metadata=[]), 422, "validation_error", ["body", "metadata"]),
    "metadata too large": (said(metadata={"k": "x" * 4096}), 422, "validation_error", ["body", "metadata"]),
    "NUL in metadata": (said(metadata={"a": [{"b": "\x00"}]}), 422, "validation_error", ["body", "metadata"]),
    "NUL in a name in metadata": (said(metadata={"a\x00": 1}), 422, "validation_error", ["body", "metadata"]),
    "metadata too deep": (
        said()[:-1] + b', "metadata": ' + b'{"a":' * 20 + b"1" + b"}" * 21,
        422,
        "validation_error",
        ["body", "metadata"],
    ),
    "integer of 80 bits": (said(metadata={"n": 2**80}), 422, "validation_error", ["body", "metadata"]),
    "infinite number": (
        said()[:-1] + b', "metadata": {"n": 1e999}}',
        422,
        "validation_error",
        ["body", "metadata"],
    ),
    "NaN": (said()[:-1] + b', "metadata": {"n": NaN}}', 400, "invalid_input", None),
    "integer of 5,000 digits": (
        said()[:-1] + b', "metadata": {"n": %s}}' % (b"9" * 5000),
        400,
        "invalid_input",
        None,
    ),
    "a name twice": (said()[:-1] + b', "message": "b"}', 400, "invalid_input", None),
    "not JSON": (SECRET.encode(), 400, "invalid_input", None),
    "cut off": (said()[:-1], 400, "invalid_input", None),
    "not UTF-8": (b'{"message": "\xff' + SECRET.encode() + b'"}', 400, "invalid_input", None),
    "UTF-16": (said().decode().encode("utf-16"), 400, "invalid_input", None),
    "a list": (json.dumps([SECRET]).encode(), 400, "invalid_input", None),
    "10,000 brackets": (b"[" * 10_000 + b"]" * 10_000, 400, "invalid_input", None),
    "10,000 objects": (b'{"message":' * 10_000 + b"1" + b"}" * 10_000, 400, "invalid_input", None),
    "10 MB": (of(message=SECRET * 450_000), 413, "too_large", None),
    "10 MB in chunks": (lambda: drip(160, 65_536), 413, "too_large", None),
    "a conversation that is not there": (said(conversation_id="conv_none"), 404, "not_found", None),
}


@pytest.mark.parametrize("name", BAD_INPUT)
async def test_bad_input_is_refused_stored_nowhere_and_logged_nowhere(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, status, code, loc = BAD_INPUT[name]
    caplog.set_level(logging.DEBUG, logger="uvicorn")

    async with serving() as served:
        answer = await served.client.post(
            "/v1/chat",
            content=content if isinstance(content, bytes) else content(),
            headers={"Content-Type": "application/json", "X-Request-ID": "my-request"},
        )

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == PROBLEM_FIELDS
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"] == "my-request"
    assert problem["stored"] is False
    assert problem["retryable"] is False
    assert [each["loc"] for each in problem["errors"]] == ([loc] if loc else [])
    assert served.turns.submitted == []
    assert SECRET not in answer.text
    assert SECRET not in repr(served.log.events) + caplog.text


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""],
)
async def test_another_content_type_is_refused(content_type: str) -> None:
    async with serving() as served:
        answer = await served.client.post("/v1/chat", content=said(), headers={"Content-Type": content_type})

    assert (answer.status_code, answer.json()["code"]) == (415, "invalid_input")
    assert "application/json" in answer.json()["detail"]
    assert served.turns.submitted == []


async def test_two_different_message_ids_are_refused_by_name() -> None:
    async with serving() as served:
        answer = await served.client.post(
            "/v1/chat", content=said(client_message_id="a"), headers=JSON | {"Idempotency-Key": "b"}
        )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]
    assert served.turns.submitted == []


async def test_a_field_name_that_json_cannot_carry_is_still_answered() -> None:
    async with serving() as served:
        answer = await served.client.post("/v1/chat", content=b'{"message":"a","\\ud800":1}', headers=JSON)

    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_error"


async def test_somebody_elses_conversation_is_not_there() -> None:
    async with serving() as served:
        mine = await served.client.post("/v1/chat", json={"message": "hi", "customer_id": "c-1"})
        answer = await served.client.post(
            "/v1/chat",
            json={
                "message": "hi",
                "customer_id": "c-2",
                "conversation_id": mine.json()["conversation_id"],
            },
        )

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert len(served.turns.submitted) == 1


JSON = {"Content-Type": "application/json"}
