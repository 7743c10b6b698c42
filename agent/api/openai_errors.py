"""
Word failures as OpenAI's API does, on the routes that its clients use.
"""

from typing import Any

import orjson
from starlette.responses import Response

from agent.api.problems import Problem

PATHS = frozenset({"/v1/chat/completions", "/v1/models"})
_OWN_NAMES = {"customer_id": "user", "message": "messages", "conversation_id": "metadata"}
"""What such a client calls the fields that our own refusals name."""


def error_document(problem: Problem) -> dict[str, Any]:
    field = problem.fields[0] if problem.fields else None
    message = problem.detail if field is None else f"{problem.detail} {field.msg}."
    return {
        "error": {
            "message": f"{message} {problem.user_action}".strip(),
            "type": _type_of(problem.status),
            "param": _param(field.loc) if field is not None else None,
            "code": "invalid_api_key" if problem.status == 401 else problem.code,
        }
    }


def respond_as_openai(problem: Problem) -> Response:
    """With 400 where our own routes say 422: it is what such clients expect of a wrong field."""
    return Response(
        orjson.dumps(error_document(problem)),
        status_code=400 if problem.status == 422 else problem.status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    if status == 401:
        return "authentication_error"
    return "invalid_request_error" if status < 500 else "server_error"


def _param(loc: tuple[str | int, ...]) -> str:
    """`messages[0].content`, as OpenAI writes it."""
    first, *rest = [step for step in loc if step != "body"] or [""]
    name = _OWN_NAMES.get(str(first), str(first))
    return name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)
