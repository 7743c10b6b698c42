"""
`POST /v1/chat`: a customer's message in, the agent's answer out, as JSON or as events.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent.api.accepting import EVENT_STREAM, JSON, chosen_form
from agent.api.bodies import read_json, validated
from agent.api.document import LAST_EVENT_ID, answers, body_of, header
from agent.api.parts import ServiceParts
from agent.api.problems import request_id_of
from agent.api.security import Callers, acting_for
from agent.api.stream import HEADERS, SseTurn, last_event_number
from agent.api.wire import ID_CHARACTERS, ChatBody
from agent.turn.inputs import ChatRequest, Submission
from core.errors import FieldError, ValidationFailed
from core.messages import TurnResult, TurnStatus

LONGEST_WAIT_MARGIN_SECONDS = 1.0
"""A turn that stops at its deadline still has to be saved."""


class WholeRequestRoute(APIRoute):
    """
    For an endpoint that reads the request itself: FastAPI's own handler looks for parameters and dependencies in each request,
    which costs as much as all that the endpoint does.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


def chat_routes(parts: ServiceParts, callers: Callers) -> APIRouter:
    router = APIRouter(route_class=WholeRequestRoute)
    turns = parts.turns
    longest_wait_seconds = parts.settings.turn_deadline_seconds + LONGEST_WAIT_MARGIN_SECONDS

    @router.post(
        "/v1/chat",
        summary="Send a message and get the answer",
        responses=answers(
            {200: "TurnResult", 202: "TurnResult"},
            errors=(400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 500, 502, 503, 504),
            streams=True,
        ),
        openapi_extra={
            "requestBody": body_of("ChatBody"),
            "parameters": [
                header("Idempotency-Key", "The same thing as client_message_id.", most=ID_CHARACTERS),
                LAST_EVENT_ID,
                header("Prefer", "`respond-async`: answer 202 once the message is stored."),
            ],
        },
    )
    async def chat(request: Request) -> Response:
        caller = await callers.caller(request)
        form = chosen_form(request, (JSON, EVENT_STREAM))
        body: ChatBody = validated(ChatBody, await read_json(request))
        caller = acting_for(caller, body.customer_id)
        client_message_id = client_message_id_of(request, body.client_message_id)
        await parts.limits.check_message(caller, body.conversation_id)
        submission = await turns.submit(
            ChatRequest(
                caller=caller,
                message=body.message,
                conversation_id=body.conversation_id,
                client_message_id=client_message_id,
                locale=body.locale,
                channel=body.channel,
                metadata=body.metadata,
            )
        )
        request.state.is_stored = True
        if form == EVENT_STREAM:
            stream = SseTurn(
                turns,
                submission,
                tenant=caller.tenant,
                request_id=request_id_of(request),
                log=parts.log,
                after=last_event_number(request.headers.get("last-event-id"), submission.turn_id),
            )
            return StreamingResponse(stream.chunks(), media_type=EVENT_STREAM, headers=HEADERS)
        if submission.result is not None:
            return _answer(submission.result)
        if _prefers_not_to_wait(request):
            return _accepted(submission, {"Preference-Applied": "respond-async"})
        result = await turns.wait(caller.tenant, submission.turn_id, seconds=longest_wait_seconds)
        return _answer(result) if result is not None else _accepted(submission, {})

    return router


def client_message_id_of(request: Request, in_body: str | None) -> str | None:
    """
    The client's own id of its message, by the header or the body.

    Raises:
        ValidationFailed: they differ, or cannot be kept.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return in_body
    if not 1 <= len(key) <= ID_CHARACTERS or not key.isascii() or not key.isprintable():
        _refuse_key("1 to 128 printable ASCII characters are accepted", "idempotency_key")
    if in_body not in (None, key):
        _refuse_key("It differs from body.client_message_id", "idempotency_key_conflict")
    return key


def _refuse_key(msg: str, kind: str) -> None:
    wrong = FieldError(("header", "Idempotency-Key"), msg, kind)
    raise ValidationFailed("A header of the request is wrong.", fields=(wrong,))


def _prefers_not_to_wait(request: Request) -> bool:
    return any(
        part.strip().lower() == "respond-async" for part in request.headers.get("prefer", "").split(",")
    )


def _answer(result: TurnResult) -> Response:
    return Response(msgspec.json.encode(result), media_type=JSON, headers={"Cache-Control": "no-store"})


def _accepted(submission: Submission, headers: dict[str, str]) -> Response:
    result = TurnResult(
        conversation_id=submission.conversation_id,
        turn_id=submission.turn_id,
        message_id=submission.message_id,
        status=TurnStatus.ACCEPTED,
        durability=submission.durability,
    )
    headers = {"Cache-Control": "no-store", "Location": f"/v1/turns/{submission.turn_id}", **headers}
    return Response(msgspec.json.encode(result), status_code=202, media_type=JSON, headers=headers)
