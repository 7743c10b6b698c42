"""
The OpenAPI document: what the routes say of themselves, with the schemas of the bodies they read and write.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from agent.api.openai_wire import SCHEMAS as OPENAI_SCHEMAS
from agent.api.openai_wire import CompletionBody
from agent.api.problems import MEDIA_TYPE
from agent.api.wire import (
    ChatBody,
    ClaimBody,
    ConversationView,
    ExplainedTurn,
    FeedbackBody,
    Liveness,
    MessagePage,
    ProblemDocument,
    Readiness,
    VisitorToken,
)
from core.messages import TurnResult
from core.records import Feedback

_REF = "#/components/schemas/"
_SENT = (
    TurnResult,
    ExplainedTurn,
    ConversationView,
    MessagePage,
    Feedback,
    VisitorToken,
    Liveness,
    Readiness,
    ProblemDocument,
)
_RECEIVED = (ChatBody, ClaimBody, CompletionBody, FeedbackBody)
_ALWAYS_POSSIBLE = (403, 405, 500)
_TEXT = {"type": "string"}
_EVENT = {
    "type": "object",
    "properties": {"event": _TEXT, "id": _TEXT, "data": {**_TEXT, "contentMediaType": "application/json"}},
    "required": ["event", "id", "data"],
}
"""What each event of a stream is."""
_MEANINGS = {
    200: "Done.",
    201: "Made.",
    202: "Stored; the answer is on its way and can be read at Location.",
    400: "The request cannot be read.",
    401: "The credentials are missing or not valid.",
    403: "Not allowed.",
    404: "There is nothing here for this caller.",
    405: "Another method is needed.",
    406: "The answer cannot be given in the form that Accept asks for.",
    409: "It exists already.",
    413: "The body is too large.",
    415: "The body must be JSON.",
    422: "A field is wrong; `errors` names it.",
    429: "Too many messages; `Retry-After` says when to try again.",
    500: "A defect of this service.",
    502: "A system behind this service failed.",
    503: "Something that is needed cannot be reached.",
    504: "Something that is needed did not answer in time.",
}


def answers(
    results: Mapping[int, str], *, errors: Sequence[int], streams: bool = False
) -> dict[int | str, dict[str, Any]]:
    """
    FastAPI's `responses` of a route: schemas of its results by status ("" for events only, several between bars), and its errors.
    """
    described: dict[int | str, dict[str, Any]] = {}
    for status, names in results.items():
        content: dict[str, Any] = {}
        if names:
            each = [_ref(name) for name in names.split(" | ")]
            content["application/json"] = {"schema": each[0] if len(each) == 1 else {"anyOf": each}}
        if streams and status == 200:
            content["text/event-stream"] = {"schema": _EVENT}
        described[status] = {"description": _MEANINGS[status], "content": content}
    for status in sorted({*errors, *_ALWAYS_POSSIBLE}):
        described[status] = {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": _ref("ProblemDocument")}},
        }
    return described


def openai_answers(result: str, *, streams: bool = False) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route for OpenAI's clients."""
    success: dict[str, Any] = {"application/json": {"schema": _ref(result)}}
    if streams:
        success["text/event-stream"] = {"schema": _TEXT}
    errors = (400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 502, 503, 504)
    failure = {"application/json": {"schema": _ref("OpenAiError")}}
    return {
        200: {"description": _MEANINGS[200], "content": success},
        **{status: {"description": _MEANINGS[status], "content": failure} for status in errors},
    }


def body_of(name: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def header(name: str, description: str, *, most: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if most is not None:
        schema |= {"minLength": 1, "maxLength": most, "pattern": "^[ -~]+$"}
    return {"in": "header", "name": name, "required": False, "description": description, "schema": schema}


LAST_EVENT_ID = header("Last-Event-ID", "The id of the last event that an earlier connection brought.")


def install_document(app: FastAPI) -> None:
    """Make `app.openapi()` the whole document, built when it is first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            built = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            components = built.setdefault("components", {})
            components.setdefault("schemas", {}).update(_schemas())
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            }
            built["security"] = [{"bearer": []}, {"basic": []}, {}]
            app.openapi_schema = built
        return app.openapi_schema

    # FastAPI documents assigning to this method as the way to extend the document.
    app.openapi = document  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    _, sent = msgspec.json.schema_components(_SENT, ref_template=_REF + "{name}")
    _, received = models_json_schema(
        [(model, "validation") for model in _RECEIVED], ref_template=_REF + "{model}"
    )
    return {**sent, **received["$defs"], **OPENAI_SCHEMAS}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF + name}
