"""
The bodies that clients send and receive, as docs/api.md names their fields.

What is sent back and is not listed here is a value of `core.messages`, encoded as it stands.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from agent.api.bodies import METADATA_BYTES, Body, storable, storable_object
from core.explanation import TurnExplanation
from core.messages import Citation, DegradedPart, Message, MessageRole, TurnResult
from core.records import Feedback
from state.store import ConversationRecord

MESSAGE_CHARACTERS = 8000
ID_CHARACTERS = 128


def _message(text: str) -> str:
    length = len(text.strip())
    if not length:
        raise PydanticCustomError("message_empty", "The message is empty")
    if length > MESSAGE_CHARACTERS:
        raise PydanticCustomError(
            "message_too_long", "A message may have 8000 characters at most, beside white space"
        )
    return storable(text)


def could_be_ours(identifier: str) -> bool:
    """Ids are ours or derived by us; anything else need not reach a database, which may choke on it."""
    return 0 < len(identifier) <= ID_CHARACTERS and identifier.isascii() and identifier.isprintable()


Id = Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS), AfterValidator(storable)]


MessageText = Annotated[
    str,
    AfterValidator(_message),
    Field(
        description="1 to 8,000 characters, counted after trimming, stored untrimmed and byte-exact.",
        json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"},
    ),
]


class ChatBody(Body):
    message: MessageText
    conversation_id: Id | None = Field(None, description="Continue this conversation; left out: a new one.")
    client_message_id: Id | None = Field(
        None, description="The client's own id of this message; the header Idempotency-Key is the same thing."
    )
    customer_id: Id | None = Field(
        None,
        description="Only for trusted servers and in local mode; else the credentials name the customer.",
    )
    locale: Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] | None = (
        Field(None, description="BCP 47; left out: the customer's, else `en`.")
    )
    channel: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)] = Field(
        "api", description="A free label of where the message comes from."
    )
    metadata: Annotated[dict[str, Any], AfterValidator(storable_object)] | None = Field(
        None,
        description=f"At most {METADATA_BYTES} bytes of JSON; stored and returned, never shown to a model.",
    )


class ClaimBody(Body):
    visitor_token: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="The token of the visitor who has signed in."
    )


class FeedbackBody(Body):
    score: Annotated[int, Field(ge=1, le=5)] | None = Field(None, description="1 is worst, 5 is best.")
    thumbs: Literal["up", "down"] | None = Field(None, description="In the place of a score.")
    comment: Annotated[str, Field(max_length=2000), AfterValidator(storable)] | None = None
    turn_id: Id | None = Field(None, description="Which answer is meant; left out: the newest.")

    @model_validator(mode="after")
    def _one_judgement(self) -> Self:
        if (self.score is None) == (self.thumbs is None):
            raise PydanticCustomError("score_or_thumbs", "Give either score or thumbs")
        return self


class VisitorToken(msgspec.Struct, frozen=True):
    token: str
    customer_id: str
    expires_at: datetime


class ConversationView(msgspec.Struct, frozen=True):
    """`is_answering` says that a reply to the newest message is on its way."""

    conversation_id: str
    customer_id: str
    status: Literal["open", "handed_over"]
    channel: str
    locale: str | None
    created_at: datetime
    updated_at: datetime
    messages: int
    is_answering: bool


class MessageView(msgspec.Struct, frozen=True, omit_defaults=True):
    message_id: str
    seq: int
    role: MessageRole
    text: str
    at: datetime
    turn_id: str | None
    client_message_id: str | None = None
    citations: tuple[Citation, ...] = ()
    degraded: tuple[DegradedPart, ...] = ()
    metadata: dict[str, Any] | None = None


class MessagePage(msgspec.Struct, frozen=True):
    """Oldest first; `next` is the `after` of the next page, null at the end."""

    messages: tuple[MessageView, ...]
    next: int | None


class ExplainedTurn(msgspec.Struct, frozen=True):
    """`explanation` is null where none was kept: docs/explain.md says for how long, and names the steps."""

    turn: TurnResult
    explanation: TurnExplanation | None
    feedback: tuple[Feedback, ...]


class Liveness(msgspec.Struct, frozen=True):
    status: Literal["alive"] = "alive"


class DependencyView(msgspec.Struct, frozen=True):
    state: Literal["up", "down"]
    since: datetime | None = None


class Readiness(msgspec.Struct, frozen=True):
    """`degraded`: every turn is answered, some with less."""

    status: Literal["ready", "degraded"]
    dependencies: dict[str, DependencyView]


class FieldProblem(msgspec.Struct, frozen=True):
    loc: tuple[str | int, ...]
    msg: str
    type: str


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Every error, on every route. `stored` is there on POST: whether the message was kept in spite of the
    error.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[FieldProblem, ...]
    request_id: str
    retryable: bool
    user_action: str
    stored: bool = False


def view_of_conversation(record: ConversationRecord, now: datetime) -> ConversationView:
    is_handed_over = record.handed_over_until is not None and record.handed_over_until > now
    return ConversationView(
        conversation_id=record.conversation_id,
        customer_id=record.customer_id,
        status="handed_over" if is_handed_over else "open",
        channel=record.channel,
        locale=record.locale,
        created_at=record.created_at,
        updated_at=record.updated_at,
        messages=record.head,
        is_answering=record.answered < record.last_user,
    )


def view_of_message(message: Message) -> MessageView:
    return MessageView(
        message_id=message.message_id,
        seq=message.seq,
        role=message.role,
        text=message.text,
        at=message.at,
        turn_id=message.turn_id,
        client_message_id=message.client_message_id,
        citations=message.citations,
        degraded=message.degraded,
        metadata=message.metadata,
    )
