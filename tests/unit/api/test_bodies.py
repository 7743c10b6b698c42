"""Reading a request's body."""

import pytest
from starlette.requests import Request
from starlette.types import Message

from agent.api.bodies import BODY_BYTES, read_json
from core.errors import InvalidInput, TooLarge

_CHUNK = b"x" * 65_536


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"10000000")]], ids=["chunked", "announced"])
async def test_a_body_beyond_the_limit_is_not_read_to_its_end(headers: list[tuple[bytes, bytes]]) -> None:
    chunks_read = 0

    async def receive() -> Message:
        nonlocal chunks_read
        chunks_read += 1
        return {"type": "http.request", "body": _CHUNK, "more_body": chunks_read < 160}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", b"application/json"), *headers],
    }

    with pytest.raises(TooLarge):
        await read_json(Request(scope, receive))

    assert chunks_read * len(_CHUNK) <= BODY_BYTES + len(_CHUNK)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"metadata": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
        (b'{"metadata": [}', "not valid JSON"),
    ],
    ids=["deep", "broken"],
)
async def test_a_body_that_cannot_be_read_is_told_for_what_it_is(body: bytes, told: str) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}

    with pytest.raises(InvalidInput, match=told):
        await read_json(Request(scope, receive))
