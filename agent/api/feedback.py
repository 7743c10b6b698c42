"""
What customers think of an answer: taken in here, read with the explained turn.
"""

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from agent.api.accepting import JSON, chosen_form
from agent.api.bodies import read_json, validated
from agent.api.document import answers, body_of
from agent.api.parts import ServiceParts
from agent.api.security import Callers, readable_conversation
from agent.api.wire import FeedbackBody, could_be_ours
from core.errors import FieldError, ValidationFailed
from core.messages import MessageRole
from core.records import Feedback
from state.store import ConversationRecord

_LOOKED_BACK = 100
"""Messages among which the newest answer is looked for: customers can write many in a row, not that many."""
_ERRORS = (400, 401, 403, 404, 406, 413, 415, 422, 500, 502, 503, 504)


def feedback_routes(parts: ServiceParts, callers: Callers) -> APIRouter:
    router = APIRouter()
    turns = parts.turns

    async def newest_answer(conversation: ConversationRecord) -> str:
        messages = await turns.messages(
            conversation.tenant,
            conversation.conversation_id,
            after=max(0, conversation.head - _LOOKED_BACK),
            limit=_LOOKED_BACK,
        )
        for message in reversed(messages):
            if message.role is MessageRole.AGENT and message.turn_id is not None:
                return message.turn_id
        raise _wrong(
            "There is no answer in this conversation yet: send the feedback after it", "no_answer_yet"
        )

    async def checked(conversation: ConversationRecord, turn_id: str) -> str:
        record = await turns.turn(conversation.tenant, turn_id) if could_be_ours(turn_id) else None
        if record is None or record.conversation_id != conversation.conversation_id:
            raise _wrong("No turn of this conversation; leave it out for the newest", "no_such_turn")
        return turn_id

    @router.post(
        "/v1/conversations/{conversation_id}/feedback",
        summary="Say what an answer was worth; a second word on the same answer takes the place of the first",
        responses=answers({200: "Feedback"}, errors=_ERRORS),
        openapi_extra={"requestBody": body_of("FeedbackBody")},
    )
    async def feedback(request: Request, conversation_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        body: FeedbackBody = validated(FeedbackBody, await read_json(request))
        conversation = await readable_conversation(turns, caller, conversation_id)
        turn_id = body.turn_id
        given = Feedback(
            conversation_id=conversation_id,
            turn_id=await newest_answer(conversation)
            if turn_id is None
            else await checked(conversation, turn_id),
            given_by=caller.principal,
            score=body.score,
            thumbs=body.thumbs,
            comment=body.comment,
            at=parts.clock.now(),
        )
        await parts.feedback.give(caller.tenant, given)
        request.state.is_stored = True
        parts.metrics.feedback_given(judgement=given.thumbs or str(given.score))
        return Response(msgspec.json.encode(given), media_type=JSON, headers={"Cache-Control": "no-store"})

    return router


def _wrong(message: str, kind: str) -> ValidationFailed:
    field = FieldError(("body", "turn_id"), message, kind)
    return ValidationFailed("A field of the body is wrong.", fields=(field,))
