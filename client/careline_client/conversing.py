"""
Chat and conversations as objects, without asyncio. `async_conversing` is its twin; what both do is in `chatting` and `events`.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from careline_client.chatting import ChatCalls, message
from careline_client.events import ConversationStream, Event, TurnStream
from careline_client.plane import PAGE
from careline_client.resources import Answer, Conversation, Message

if TYPE_CHECKING:
    from careline_client.client import Careline


class Chat:
    def __init__(self, client: "Careline", calls: ChatCalls) -> None:
        self._client = client
        self._calls = calls

    def say(
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
        return self._client.run(self._calls.say(request))

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
    ) -> "StreamedAnswer":
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
        return StreamedAnswer(self._client, TurnStream(request, self._client._policy, self._client._hooks))

    def turn(self, turn_id: str) -> Answer:
        result: Any = self._client.run(self._calls.turn(turn_id, is_explained=False))
        answer: Answer = result
        return answer

    def explain(self, turn_id: str) -> dict[str, Any]:
        """For operators: what was retrieved, decided, called, refused."""
        return self._client.run(self._calls.turn(turn_id, is_explained=True))

    def stop(self, turn_id: str) -> Answer:
        return self._client.run(self._calls.stop(turn_id))


class StreamedAnswer:
    """Iterated once. `text` is the reply so far, `answer` the whole answer, None before its `message` event."""

    def __init__(self, client: "Careline", stream: TurnStream) -> None:
        self._client = client
        self._stream = stream

    def __iter__(self) -> Iterator[Event]:
        return self._client.events(self._stream)

    @property
    def text(self) -> str:
        return self._stream.text

    @property
    def answer(self) -> Answer | None:
        return self._stream.answer


class Conversations:
    def __init__(self, client: "Careline", calls: ChatCalls) -> None:
        self._client = client
        self._calls = calls

    def get(self, conversation_id: str) -> Conversation:
        return self._client.run(self._calls.conversation(conversation_id))

    def messages(self, conversation_id: str, *, after: int = 0, page_size: int = PAGE) -> Iterator[Message]:
        """Oldest first, those behind the `seq` `after`."""
        position: int | None = after
        while position is not None:
            page, position = self._client.run(
                self._calls.messages(conversation_id, after=position, limit=page_size)
            )
            yield from page

    def follow(self, conversation_id: str, *, after: int | None = None) -> Iterator[Event]:
        """
        Every new message, the operator's too, until the caller stops: those behind the `seq` `after`, else those that come from
        the first step on. None is lost or told twice over any number of connections.
        """
        if after is None:
            after = (self.get(conversation_id))["messages"]
        stream = ConversationStream(
            conversation_id, after=after, policy=self._client._policy, hooks=self._client._hooks
        )
        yield from self._client.events(stream)

    def feedback(
        self,
        conversation_id: str,
        *,
        score: int | None = None,
        thumbs: Literal["up", "down"] | None = None,
        comment: str | None = None,
        turn_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Of the newest answer, unless `turn_id` names another; `score` 1 to 5, or `thumbs`."""
        return self._client.run(
            self._calls.feedback(
                conversation_id, score=score, thumbs=thumbs, comment=comment, turn_id=turn_id
            )
        )
