"""
Read what was said: conversations, their messages, single turns; and hand a visitor's conversation to the
signed-in customer.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from agent.api.accepting import JSON, chosen_form
from agent.api.bodies import read_json, validated
from agent.api.document import answers, body_of
from agent.api.parts import ServiceParts
from agent.api.problems import ClaimedAlready
from agent.api.security import Callers, check_may_read
from agent.api.tokens import VISITOR_PREFIX
from agent.api.wire import (
    ID_CHARACTERS,
    ClaimBody,
    MessagePage,
    view_of_conversation,
    view_of_message,
)
from core.errors import AuthenticationFailed, NotFound, PermissionDenied
from core.identity import Caller, CallerKind
from core.messages import TurnResult
from state.store import ConversationRecord, TurnRecord

_MOST_MESSAGES = 1000
_GREATEST_SEQ = 2**31 - 1
_READ_ERRORS = (401, 403, 404, 406, 422, 500, 502, 503, 504)


def conversation_routes(parts: ServiceParts, callers: Callers) -> APIRouter:
    router = APIRouter()
    turns = parts.turns

    async def readable(caller: Caller, conversation_id: str) -> ConversationRecord:
        record = None
        if _could_be_ours(conversation_id):
            record = await turns.conversation(caller.tenant, conversation_id)
        if record is None:
            raise NotFound
        check_may_read(caller, record.customer_id)
        return record

    @router.get(
        "/v1/conversations/{conversation_id}",
        summary="A conversation, without its messages",
        responses=answers({200: "ConversationView"}, errors=_READ_ERRORS),
    )
    async def conversation(request: Request, conversation_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        record = await readable(caller, conversation_id)
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
        await readable(caller, conversation_id)
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
        "/v1/turns/{turn_id}",
        summary="A turn: the answer, or that it is on its way",
        responses=answers({200: "TurnResult"}, errors=_READ_ERRORS),
    )
    async def turn(request: Request, turn_id: str) -> Response:
        caller = await callers.caller(request)
        chosen_form(request, (JSON,))
        record = await turns.turn(caller.tenant, turn_id) if _could_be_ours(turn_id) else None
        if record is None:
            raise NotFound
        check_may_read(caller, record.customer_id)
        return _json(record.result if record.result is not None else _unfinished(record))

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
        if _could_be_ours(conversation_id) and visitor.tenant == caller.tenant:
            before = await turns.conversation(caller.tenant, conversation_id)
        if before is None:
            raise NotFound
        if before.customer_id == caller.customer_id:
            raise ClaimedAlready("This conversation belongs to this customer already.")
        await turns.claim_conversation(
            caller.tenant, conversation_id, visitor=visitor.customer_id, customer=caller.customer_id
        )
        request.state.is_stored = True
        return _json(view_of_conversation(await readable(caller, conversation_id), parts.clock.now()))

    return router


def _could_be_ours(identifier: str) -> bool:
    """Ids are ours or derived by us; anything else need not reach a database, which may choke on it."""
    return 0 < len(identifier) <= ID_CHARACTERS and identifier.isascii() and identifier.isprintable()


def _unfinished(record: TurnRecord) -> TurnResult:
    return TurnResult(
        conversation_id=record.conversation_id,
        turn_id=record.turn_id,
        message_id=record.message_id,
        status=record.status,
        durability=record.durability,
    )


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON, headers={"Cache-Control": "no-store"})
