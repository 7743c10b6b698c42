"""
Read what was said: conversations and their messages, stored and to come; and hand a visitor's conversation to the signed-in
customer.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent.api.accepting import EVENT_STREAM, JSON, chosen_form
from agent.api.bodies import read_json, validated
from agent.api.document import LAST_EVENT_ID, answers, body_of
from agent.api.messages import SseConversation
from agent.api.parts import ServiceParts
from agent.api.problems import ClaimedAlready
from agent.api.security import Callers, readable_conversation
from agent.api.stream import HEADERS
from agent.api.tokens import VISITOR_PREFIX
from agent.api.wire import (
    ClaimBody,
    MessagePage,
    could_be_ours,
    view_of_conversation,
    view_of_message,
)
from core.errors import AuthenticationFailed, NotFound, PermissionDenied
from core.identity import CallerKind

_MOST_MESSAGES = 1000
_GREATEST_SEQ = 2**31 - 1
_READ_ERRORS = (401, 403, 404, 406, 422, 500, 502, 503, 504)


def conversation_routes(parts: ServiceParts, callers: Callers) -> APIRouter:
    router = APIRouter()
    turns = parts.turns

    @router.get(
        "/v1/conversations/{conversation_id}",
        summary="A conversation, without its messages",
        responses=answers({200: "ConversationView"}, errors=_READ_ERRORS),
    )
    async def conversation(request: Request, conversation_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        record = await readable_conversation(turns, caller, conversation_id)
        return _json(view_of_conversation(record, parts.clock.now()))

    @router.get(
        "/v1/conversations/{conversation_id}/messages",
        summary="What was said, oldest first",
        responses=answers({200: "MessagePage"}, errors=_READ_ERRORS),
    )
    async def messages(
        request: Request,
        conversation_id: str,
        after: Annotated[
            int, Query(ge=0, le=_GREATEST_SEQ, description="Only messages with a greater seq.")
        ] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST_MESSAGES)] = 100,
    ) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        await readable_conversation(turns, caller, conversation_id)
        # One more than asked for tells whether there is a next page.
        found = await turns.messages(caller.tenant, conversation_id, after=after, limit=limit + 1)
        page = found[:limit]
        has_more = len(found) > limit
        return _json(
            MessagePage(
                messages=tuple(view_of_message(each) for each in page),
                next=page[-1].seq if has_more else None,
            )
        )

    @router.get(
        "/v1/conversations/{conversation_id}/events",
        summary="Every new message of the conversation, as it comes",
        responses=answers({200: ""}, errors=_READ_ERRORS, streams=True),
        response_class=StreamingResponse,
        openapi_extra={"parameters": [LAST_EVENT_ID]},
    )
    async def events(
        request: Request,
        conversation_id: str,
        after: Annotated[
            int | None,
            Query(
                ge=0, le=_GREATEST_SEQ, description="Only messages with a greater seq; else those to come."
            ),
        ] = None,
    ) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (EVENT_STREAM,))
        record = await readable_conversation(turns, caller, conversation_id)
        heard = _seq(request.headers.get("last-event-id"))
        if heard is None:
            heard = record.head if after is None else after
        stream = SseConversation(turns, record, after=heard, clock=parts.clock, log=parts.log)
        return StreamingResponse(stream.chunks(), media_type=EVENT_STREAM, headers=HEADERS)

    @router.post(
        "/v1/conversations/{conversation_id}/claim",
        summary="Take over the conversation begun as a visitor, once, after signing in",
        responses=answers(
            {200: "ConversationView"},
            errors=(400, 401, 403, 404, 406, 409, 413, 415, 422, 500, 502, 503, 504),
        ),
        openapi_extra={"requestBody": body_of("ClaimBody")},
    )
    async def claim(request: Request, conversation_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        body: ClaimBody = validated(ClaimBody, await read_json(request))
        if caller.kind is not CallerKind.CUSTOMER or caller.customer_id is None:
            raise PermissionDenied("Only a signed-in customer can claim a conversation.")
        if not body.visitor_token.startswith(VISITOR_PREFIX):
            raise AuthenticationFailed("visitor_token is not a visitor's token.")
        visitor = callers.visitors.read(body.visitor_token, is_renewal=True)
        before = None
        if could_be_ours(conversation_id) and visitor.tenant == caller.tenant:
            before = await turns.conversation(caller.tenant, conversation_id)
        if before is None:
            raise NotFound
        if before.customer_id == caller.customer_id:
            raise ClaimedAlready("This conversation belongs to this customer already.")
        await turns.claim_conversation(
            caller.tenant, conversation_id, visitor=visitor.customer_id, customer=caller.customer_id
        )
        request.state.is_stored = True
        return _json(
            view_of_conversation(
                await readable_conversation(turns, caller, conversation_id), parts.clock.now()
            )
        )

    return router


def _seq(last_event_id: str | None) -> int | None:
    """Anything that is not one of our ids is as good as none."""
    text = last_event_id or ""
    return min(int(text), _GREATEST_SEQ) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON, headers={"Cache-Control": "no-store"})
