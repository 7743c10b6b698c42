"""
The customers' calls (`/v1`), as steps: saying something, reading conversations, stopping a turn, telling how an answer was.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from careline_client.plane import Ask, decoded
from careline_client.resources import Answer, Conversation, Message
from careline_client.steps import Send, Steps, segment, without_none

CHAT_SECONDS = 45.0
"""A turn may take its deadline (20 s unless the service is set otherwise), and is worth waiting for."""


def message(
    text: str,
    *,
    conversation_id: str | None,
    client_message_id: str | None,
    customer_id: str | None,
    locale: str | None,
    channel: str | None,
    metadata: Mapping[str, Any] | None,
    waits: bool = True,
) -> Send:
    """A message with an id of its own, so that sending it again is sending it once."""
    body = without_none(
        {
            "message": text,
            "conversation_id": conversation_id,
            "client_message_id": client_message_id or uuid.uuid4().hex,
            "customer_id": customer_id,
            "locale": locale,
            "channel": channel,
            "metadata": metadata,
        }
    )
    headers = {} if waits else {"Prefer": "respond-async"}
    return Send(method="POST", path="/v1/chat", body=body, headers=headers, timeout_seconds=CHAT_SECONDS)


@dataclass(frozen=True, slots=True)
class ChatCalls:
    ask: Ask

    def say(self, request: Send) -> Steps[Answer]:
        return cast(Answer, decoded((yield from self.ask(request))))

    def turn(self, turn_id: str, *, is_explained: bool) -> Steps[dict[str, Any]]:
        query = {"view": "explain"} if is_explained else {}
        response = yield from self.ask(Send(method="GET", path=f"/v1/turns/{segment(turn_id)}", query=query))
        return cast(dict[str, Any], decoded(response))

    def stop(self, turn_id: str) -> Steps[Answer]:
        return cast(
            Answer,
            decoded((yield from self.ask(Send(method="POST", path=f"/v1/turns/{segment(turn_id)}/stop")))),
        )

    def conversation(self, conversation_id: str) -> Steps[Conversation]:
        response = yield from self.ask(
            Send(method="GET", path=f"/v1/conversations/{segment(conversation_id)}")
        )
        return cast(Conversation, decoded(response))

    def messages(
        self, conversation_id: str, *, after: int, limit: int
    ) -> Steps[tuple[list[Message], int | None]]:
        """A page, oldest first, and the `after` of the next; None behind the last."""
        response = yield from self.ask(
            Send(
                method="GET",
                path=f"/v1/conversations/{segment(conversation_id)}/messages",
                query={"after": after, "limit": limit},
            )
        )
        page = decoded(response)
        return page["messages"], page["next"]

    def feedback(
        self,
        conversation_id: str,
        *,
        score: int | None,
        thumbs: Literal["up", "down"] | None,
        comment: str | None,
        turn_id: str | None,
    ) -> Steps[dict[str, Any] | None]:
        body = without_none({"score": score, "thumbs": thumbs, "comment": comment, "turn_id": turn_id})
        path = f"/v1/conversations/{segment(conversation_id)}/feedback"
        return cast(
            dict[str, Any] | None, decoded((yield from self.ask(Send(method="POST", path=path, body=body))))
        )
