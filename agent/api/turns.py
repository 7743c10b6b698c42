"""
Single turns: read one, follow its events from where a connection broke off, stop it.
"""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent.api.accepting import EVENT_STREAM, JSON, chosen_form
from agent.api.document import LAST_EVENT_ID, answers
from agent.api.parts import ServiceParts
from agent.api.problems import request_id_of
from agent.api.security import Callers, check_may_read
from agent.api.stream import HEADERS, SseTurn, last_event_number
from agent.api.wire import ExplainedTurn, could_be_ours
from agent.turn.inputs import Submission
from core.errors import NotFound, PermissionDenied
from core.identity import Caller
from core.messages import TurnResult
from state.store import TurnRecord

_STOP_SECONDS = 1.0
"""A turn hears within about 0.3 s that it shall stop; its commit needs time, too."""
_ERRORS = (401, 403, 404, 406, 422, 500, 502, 503, 504)


def turn_routes(parts: ServiceParts, callers: Callers) -> APIRouter:
    router = APIRouter()
    turns = parts.turns

    async def readable(caller: Caller, turn_id: str) -> TurnRecord:
        record = await turns.turn(caller.tenant, turn_id) if could_be_ours(turn_id) else None
        if record is None:
            raise NotFound
        check_may_read(caller, record.customer_id)
        return record

    @router.get(
        "/v1/turns/{turn_id}",
        summary="A turn: the answer, or that it is on its way",
        responses=answers({200: "TurnResult | ExplainedTurn"}, errors=_ERRORS),
    )
    async def turn(
        request: Request,
        turn_id: str,
        view: Annotated[
            Literal["result", "explain"],
            Query(description="`explain`, for operators: an ExplainedTurn, why it was answered like this."),
        ] = "result",
    ) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        if view == "explain" and not caller.may_operate:
            raise PermissionDenied("Only an operator's key may read why a turn was answered as it was.")
        record = await readable(caller, turn_id)
        result = record.result if record.result is not None else _unfinished(record)
        return _json(result if view == "result" else await explained(caller.tenant, result))

    async def explained(tenant: str, result: TurnResult) -> ExplainedTurn:
        return ExplainedTurn(
            turn=result,
            explanation=await parts.explained.of_turn(tenant, result.turn_id),
            feedback=tuple(await parts.feedback.of_turn(tenant, result.conversation_id, result.turn_id)),
        )

    @router.get(
        "/v1/turns/{turn_id}/events",
        summary="A turn's events after the last that was heard, whichever replica runs it",
        responses=answers({200: ""}, errors=_ERRORS, streams=True),
        response_class=StreamingResponse,
        openapi_extra={"parameters": [LAST_EVENT_ID]},
    )
    async def events(request: Request, turn_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (EVENT_STREAM,))
        record = await readable(caller, turn_id)
        stream = SseTurn(
            turns,
            Submission(
                conversation_id=record.conversation_id,
                turn_id=record.turn_id,
                message_id=record.message_id,
                durability=record.durability,
                result=record.result,
            ),
            tenant=caller.tenant,
            request_id=request_id_of(request),
            log=parts.log,
            after=last_event_number(request.headers.get("last-event-id"), record.turn_id),
        )
        return StreamingResponse(stream.chunks(), media_type=EVENT_STREAM, headers=HEADERS)

    @router.post(
        "/v1/turns/{turn_id}/stop",
        summary="End a turn with what it has so far",
        responses=answers({200: "TurnResult", 202: "TurnResult"}, errors=_ERRORS),
    )
    async def stop(request: Request, turn_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        record = await readable(caller, turn_id)
        result = record.result
        if result is None:
            await turns.stop(caller.tenant, turn_id)
            result = await turns.wait(caller.tenant, turn_id, seconds=_STOP_SECONDS)
        if result is not None:
            return _json(result)
        return _json(_unfinished(record), status=202, headers={"Location": f"/v1/turns/{turn_id}"})

    return router


def _unfinished(record: TurnRecord) -> TurnResult:
    return TurnResult(
        conversation_id=record.conversation_id,
        turn_id=record.turn_id,
        message_id=record.message_id,
        status=record.status,
        durability=record.durability,
    )


def _json(value: msgspec.Struct, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type=JSON,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
