"""
Chat and conversations as objects, with asyncio; the twin of `conversing`.
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from careline_client.chatting import ChatCalls, message
from careline_client.events import ConversationStream, Event, TurnStream
from careline_client.plane import PAGE
from careline_client.resources import Answer, Conversation, Message

if TYPE_CHECKING:
    from careline_client.async_client import AsyncCareline


class AsyncChat:
    def __init__(self, client: "AsyncCareline", calls: ChatCalls) -> None:
        self._client = client
        self._calls = calls

    async def say(
        self,
        text: str,
        *,
        conversation_id: str | None = None,
        client_message_id: str | None = None,
        customer_id: str | None = None,
        locale: str | None = None,
        channel: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        waits: bool = True,
    ) -> Answer:
        """
        The answer; with `waits=False` as soon as the message is stored (`status` `accepted`). Sent again after a failure it has
        the same `client_message_id`, which is made where none is given.
        """
        request = message(
            text,
            conversation_id=conversation_id,
            client_message_id=client_message_id,
            customer_id=customer_id,
            locale=locale,
            channel=channel,
            metadata=metadata,
            waits=waits,
        )
        return await self._client.run(self._calls.say(request))

    def stream(
        self,
        text: str,
        *,
        conversation_id: str | None = None,
        client_message_id: str | None = None,
        customer_id: str | None = None,
        locale: str | None = None,
        channel: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> "AsyncStreamedAnswer":
        """The same as events; a connection that is cut is made anew, and no event comes twice."""
        request = message(
            text,
            conversation_id=conversation_id,
            client_message_id=client_message_id,
            customer_id=customer_id,
            locale=locale,
            channel=channel,
            metadata=metadata,
        )
        return AsyncStreamedAnswer(
            self._client, TurnStream(request, self._client._policy, self._client._hooks)
        )

    async def turn(self, turn_id: str) -> Answer:
        result: Any = await self._client.run(self._calls.turn(turn_id, is_explained=False))
        answer: Answer = result
        return answer

    async def explain(self, turn_id: str) -> dict[str, Any]:
        """For operators: what was retrieved, decided, called, refused."""
        return await self._client.run(self._calls.turn(turn_id, is_explained=True))

    async def stop(self, turn_id: str) -> Answer:
        return await self._client.run(self._calls.stop(turn_id))


class AsyncStreamedAnswer:
    """Iterated once. `text` is the reply so far, `answer` the whole answer, None before its `message` event."""

    def __init__(self, client: "AsyncCareline", stream: TurnStream) -> None:
        self._client = client
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._client.events(self._stream)

    @property
    def text(self) -> str:
        return self._stream.text

    @property
    def answer(self) -> Answer | None:
        return self._stream.answer


class AsyncConversations:
    def __init__(self, client: "AsyncCareline", calls: ChatCalls) -> None:
        self._client = client
        self._calls = calls

    async def get(self, conversation_id: str) -> Conversation:
        return await self._client.run(self._calls.conversation(conversation_id))

    async def messages(
        self, conversation_id: str, *, after: int = 0, page_size: int = PAGE
    ) -> AsyncIterator[Message]:
        """Oldest first, those behind the `seq` `after`."""
        position: int | None = after
        while position is not None:
            page, position = await self._client.run(
                self._calls.messages(conversation_id, after=position, limit=page_size)
            )
            for each in page:
                yield each

    async def follow(self, conversation_id: str, *, after: int | None = None) -> AsyncIterator[Event]:
        """
        Every new message, the operator's too, until the caller stops: those behind the `seq` `after`, else those that come from
        the first step on. None is lost or told twice over any number of connections.
        """
        if after is None:
            after = (await self.get(conversation_id))["messages"]
        stream = ConversationStream(
            conversation_id, after=after, policy=self._client._policy, hooks=self._client._hooks
        )
        async for event in self._client.events(stream):
            yield event

    async def feedback(
        self,
        conversation_id: str,
        *,
        score: int | None = None,
        thumbs: Literal["up", "down"] | None = None,
        comment: str | None = None,
        turn_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Of the newest answer, unless `turn_id` names another; `score` 1 to 5, or `thumbs`."""
        return await self._client.run(
            self._calls.feedback(
                conversation_id, score=score, thumbs=thumbs, comment=comment, turn_id=turn_id
            )
        )
