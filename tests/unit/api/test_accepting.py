"""Content negotiation."""

import pytest
from starlette.requests import Request

from agent.api.accepting import EVENT_STREAM, JSON, chosen_form
from agent.api.problems import NotAcceptable


def asking(accept: str | None) -> Request:
    headers = [(b"accept", accept.encode())] if accept is not None else []
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers})


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/*;q=0.1", JSON),
        ("text/event-stream", EVENT_STREAM),
        ("TEXT/Event-Stream", EVENT_STREAM),
        ("text/event-stream, */*;q=0.5", EVENT_STREAM),
        ("application/json;q=0.5, text/event-stream;q=0.6", EVENT_STREAM),
        ("text/event-stream, application/json", JSON),
        ("application/json;q=0, */*", EVENT_STREAM),
        ("text/html, */*;q=0.8", JSON),
    ],
)
def test_the_form_that_the_caller_likes_best_is_chosen(accept: str | None, form: str) -> None:
    assert chosen_form(asking(accept), (JSON, EVENT_STREAM)) == form


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml, image/*", "*/*;q=0", "", "application/json;q=x"]
)
def test_a_form_that_nobody_has_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        chosen_form(asking(accept), (JSON, EVENT_STREAM))
