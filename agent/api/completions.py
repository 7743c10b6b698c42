"""
`POST /v1/chat/completions` and `GET /v1/models`: the agent for chat clients that speak OpenAI's API.

A conversation is kept here, so only the last message of a request is news; what the client repeats of the others is passed over.
"""

import re
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent.api.accepting import EVENT_STREAM, JSON
from agent.api.bodies import read_json, validated
from agent.api.chat import LONGEST_WAIT_MARGIN_SECONDS, WholeRequestRoute, client_message_id_of
from agent.api.completion_stream import CompletionStream, Heading
from agent.api.document import body_of, header, openai_answers
from agent.api.openai_wire import MODEL, CompletionBody, News, written_usage
from agent.api.parts import ServiceParts
from agent.api.security import Callers, acting_for
from agent.api.stream import HEADERS
from agent.api.wire import ID_CHARACTERS
from agent.turn.inputs import ChatRequest
from core.errors import DependencyTimeout, FieldError, ValidationFailed
from core.messages import Reply, TurnResult

_BODY_BYTES = 1024 * 1024
"""Such clients send the whole conversation each time."""
_MARK = re.compile(r"\[(\d{1,3})\]")


def completion_routes(parts: ServiceParts, callers: Callers) -> APIRouter:
    router = APIRouter(route_class=WholeRequestRoute)
    turns = parts.turns
    longest_wait_seconds = parts.settings.turn_deadline_seconds + LONGEST_WAIT_MARGIN_SECONDS

    @router.post(
        "/v1/chat/completions",
        summary="Send a message as OpenAI's clients do",
        responses=openai_answers("ChatCompletion", streams=True),
        openapi_extra={
            "requestBody": body_of("CompletionBody"),
            "parameters": [
                header("Idempotency-Key", "The client's own id of the message.", most=ID_CHARACTERS)
            ],
        },
    )
    async def complete(request: Request) -> Response:
        caller = await callers.caller(request)
        body: CompletionBody = validated(CompletionBody, await read_json(request, most_bytes=_BODY_BYTES))
        news = _news(body)
        caller = acting_for(caller, body.user)
        await parts.limits.check_message(caller, news.conversation_id)
        metadata = {name: value for name, value in (body.metadata or {}).items() if name != "conversation_id"}
        submission = await turns.submit(
            ChatRequest(
                caller=caller,
                message=news.message,
                conversation_id=news.conversation_id,
                client_message_id=client_message_id_of(request, None),
                channel="openai",
                metadata=metadata or None,
            )
        )
        request.state.is_stored = True
        heading = Heading(
            completion_id=f"chatcmpl-{submission.turn_id}",
            created=int(parts.clock.now().timestamp()),
            model=body.model,
            conversation_id=submission.conversation_id,
            turn_id=submission.turn_id,
        )
        if body.stream:
            stream = CompletionStream(
                turns,
                submission,
                heading,
                tenant=caller.tenant,
                log=parts.log,
                tells_usage=body.stream_options is not None and bool(body.stream_options.include_usage),
            )
            return StreamingResponse(stream.chunks(), media_type=EVENT_STREAM, headers=HEADERS)
        result = submission.result
        if result is None:
            result = await turns.wait(caller.tenant, submission.turn_id, seconds=longest_wait_seconds)
        if result is None:
            raise DependencyTimeout("turn", "the answer is still being made")
        return Response(
            orjson.dumps(_completion(heading, result)), media_type=JSON, headers={"Cache-Control": "no-store"}
        )

    @router.get("/v1/models", summary="The one model there is", responses=openai_answers("ModelList"))
    async def models(request: Request) -> Response:
        await callers.caller(request)
        listed = {"id": MODEL, "object": "model", "created": 0, "owned_by": MODEL}
        return Response(orjson.dumps({"object": "list", "data": [listed]}), media_type=JSON)

    return router


def _news(body: CompletionBody) -> News:
    """
    Raises:
        ValidationFailed: the last message is not the customer's, or cannot be one.
    """
    place = len(body.messages) - 1
    last = body.messages[place]
    if last.role != "user":
        wrong = FieldError(
            ("body", "messages", place, "role"), "The last message must be the user's", "last_role"
        )
        raise ValidationFailed("A field of the body is wrong.", fields=(wrong,))
    content = last.content or ""
    text = content if isinstance(content, str) else "\n".join(part.text for part in content)
    given: dict[str, Any] = {"message": text}
    if body.metadata is not None and "conversation_id" in body.metadata:
        given["conversation_id"] = body.metadata["conversation_id"]
    news: News = validated(News, given)
    return news


def _completion(heading: Heading, result: TurnResult) -> dict[str, Any]:
    reply = result.reply
    message = {
        "role": "assistant",
        "content": reply.text if reply is not None else "",
        "refusal": None,
        "annotations": _annotations(reply) if reply is not None else [],
    }
    completion = {
        **heading.fields("chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
    }
    if result.usage is not None:
        completion["usage"] = written_usage(result.usage)
    return completion


def _annotations(reply: Reply) -> list[dict[str, Any]]:
    """Every mark of a citation that has an address, where it stands in the text."""
    sources = {citation.n: citation for citation in reply.citations if citation.url}
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": source.url,
                "title": source.title,
                "start_index": mark.start(),
                "end_index": mark.end(),
            },
        }
        for mark in _MARK.finditer(reply.text)
        if (source := sources.get(int(mark[1]))) is not None
    ]
