"""
A person's view of the conversations that wait for one, and the person's words in them, which the customer reads at once.

What is stored, and that it is stored once, is for `state.sql.handoffs`; here it goes through the state protocol, and is put
into words.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import msgspec

from core.clock import Clock
from core.errors import InvalidInput, NotFound
from core.messages import Message
from core.telemetry.logging import get_logger
from state.sql.handoffs import Handoff, Said, SqlHandoffs
from state.store import ConversationRecord
from tools.sentences import result_sentence

LONGEST_REPLY = 8000
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL takes no NUL, and no store takes half a character."""

T = TypeVar("T")

_log = get_logger(__name__)


class Conversations(Protocol):
    """Part of `state.recovery.StateRecoveryHandler`."""

    async def by_a_person(
        self,
        tenant: str,
        conversation_id: str,
        write: Callable[[], Awaitable[T]],
        *,
        changes_hands: Callable[[T], bool],
    ) -> T: ...

    async def conversation(self, tenant: str, conversation_id: str) -> ConversationRecord | None: ...

    async def messages(
        self, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]: ...


class WaitingConversation(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `careline handoff list`. `until` is when the agent answers again, unless a person writes before."""

    tenant: str
    conversation_id: str
    customer_id: str
    channel: str
    locale: str | None
    is_answered: bool
    last_words: str
    said_at: datetime
    until: datetime | None


class ShownConversation(msgspec.Struct, frozen=True, kw_only=True):
    conversation_id: str
    customer_id: str
    channel: str
    locale: str | None
    with_a_person_until: datetime | None
    earlier_messages: int
    messages: tuple[Message, ...]


class HandoffDesk:
    """`kept_for` is how long a conversation stays with the person after each reply."""

    def __init__(
        self,
        conversations: Conversations,
        handoffs: SqlHandoffs,
        *,
        kept_for: timedelta,
        default_locale: str,
        clock: Clock,
    ) -> None:
        self._conversations = conversations
        self._handoffs = handoffs
        self._kept_for = kept_for
        self._default_locale = default_locale
        self._clock = clock

    async def waiting(self, *, tenant: str | None = None, limit: int) -> Sequence[WaitingConversation]:
        """Those without an answer first, and of these whoever waits longest."""
        found = await self._handoffs.waiting(now=self._clock.now(), tenant=tenant, limit=limit)
        return [_line(each) for each in found]

    async def shown(self, tenant: str, conversation_id: str, *, newest: int) -> ShownConversation:
        """
        Raises:
            NotFound: no such conversation.
        """
        record = await self._conversations.conversation(tenant, conversation_id)
        if record is None:
            raise NotFound(f"no conversation {conversation_id} of tenant {tenant}")
        after = max(0, record.head - newest)
        messages = await self._conversations.messages(tenant, conversation_id, after=after, limit=newest)
        until = record.handed_over_until
        return ShownConversation(
            conversation_id=conversation_id,
            customer_id=record.customer_id,
            channel=record.channel,
            locale=record.locale,
            with_a_person_until=until if until is not None and until > self._clock.now() else None,
            earlier_messages=after,
            messages=tuple(messages),
        )

    async def reply(self, tenant: str, conversation_id: str, text: str) -> Said:
        """
        The customer reads it at once, under the name of the team; from now on the conversation is with the person.

        Raises:
            NotFound: no such conversation.
            InvalidInput: nothing to say, or too much.
            DependencyUnavailable, DependencyTimeout: the record cannot be written now. Said again, it is stored once.
        """
        text = text.strip()
        if not text or len(text) > LONGEST_REPLY or _NOT_STORABLE.search(text):
            raise InvalidInput(
                f"TEXT must have 1 to {LONGEST_REPLY} characters, and no NUL or half a character"
            )
        now = self._clock.now()
        said: Said = await self._conversations.by_a_person(
            tenant,
            conversation_id,
            lambda: self._handoffs.say(
                tenant, conversation_id, text=text, until=now + self._kept_for, at=now
            ),
            changes_hands=lambda done: done.took_over,
        )
        _log.info("handoff.replied", tenant=tenant, conversation_id=conversation_id, is_new=said.is_new)
        return said

    async def give_back(self, tenant: str, conversation_id: str) -> bool:
        """
        The agent answers again, and the customer reads that it does. False where the agent had it already.

        Raises:
            NotFound: no such conversation.
            DependencyUnavailable, DependencyTimeout: as `reply`.
        """
        now = self._clock.now()
        given: bool = await self._conversations.by_a_person(
            tenant,
            conversation_id,
            lambda: self._handoffs.give_back(
                tenant,
                conversation_id,
                at=now,
                note=lambda locale: result_sentence("given_back", locale or self._default_locale),
            ),
            changes_hands=bool,
        )
        _log.info(
            "handoff.given_back", tenant=tenant, conversation_id=conversation_id, was_with_a_person=given
        )
        return given


def _line(found: Handoff) -> WaitingConversation:
    record = found.conversation
    return WaitingConversation(
        tenant=record.tenant,
        conversation_id=record.conversation_id,
        customer_id=record.customer_id,
        channel=record.channel,
        locale=record.locale,
        is_answered=found.is_answered,
        last_words=found.last_words,
        said_at=found.said_at,
        until=record.handed_over_until,
    )
