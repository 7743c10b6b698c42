"""
What a claim about a pitfall asks of a state handler, so that one story can be told to Careline's and to the naive one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Refused(Exception):
    """The customer heard that this was not taken, and may send it again."""


class Turn(Protocol):
    """One that has read what it builds on and has saved nothing yet. It is left to the test when, and whether, it saves."""

    @property
    def before(self) -> Sequence[str]:
        """What the customer said earlier, as this turn sees it."""
        ...

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the agent keeps in the state of the conversation."""
        ...

    @property
    def receipts(self) -> Sequence[str]:
        """What is known of the customer across conversations."""
        ...

    async def open_ticket(self, subject: str) -> None:
        """`subject` in the words of the brain that runs, which says it otherwise the next time."""
        ...

    async def save(self, *, notes: Mapping[str, Any] | None = None, receipt: str | None = None) -> None:
        """
        Answer "re: TEXT". `notes` replaces what was noted, None leaves it.

        Raises:
            Refused: the customer is asked to send the message again.
        """
        ...


class Subject(Protocol):
    """One replica with its handler."""

    @property
    def told(self) -> Sequence[str]:
        """The replies that customers have heard from this replica."""
        ...

    async def begin(
        self, text: str, *, id: str | None = None, customer: str = "ada", tenant: str = "default"
    ) -> Turn:
        """
        A message arrives, as `id` (by default its text), and its turn reads.

        Raises:
            Refused: nothing is promised.
        """
        ...

    async def start_over(self) -> None:
        """Ada begins anew: what the agent had noted is dropped."""
        ...

    async def log(self, *, customer: str = "ada", tenant: str = "default") -> Sequence[str]:
        """All that is kept of what was said, replies included."""
        ...

    async def transcript(self) -> Sequence[str]:
        """Ada's messages as they lie in a list in Redis."""
        ...

    async def settle(self) -> None:
        """Let happen what happens by itself once every server is back."""
        ...

    async def erase(self) -> None:
        """Ada asks to be forgotten."""
        ...

    async def let_expire(self) -> None:
        """Ada's time is over where her state is authoritative."""
        ...

    async def places_of(self, words: str) -> Sequence[str]:
        """Names of the keys and tables in which `words` stand."""
        ...

    async def stored(self) -> bytes:
        """Ada's state as it is stored where it is authoritative."""
        ...

    async def store(self, raw: bytes) -> None:
        """Put `raw` in the place of `stored`."""
        ...

    def with_field(self, stored: bytes, name: str, value: str) -> bytes:
        """`stored` as a newer version would write it, with a field that this one does not know."""
        ...

    def field(self, stored: bytes, name: str) -> object: ...


async def say(subject: Subject, text: str, *, id: str | None = None, receipt: str | None = None) -> None:
    """One whole turn of Ada's."""
    turn = await subject.begin(text, id=id)
    await turn.save(receipt=receipt)


async def said(subject: Subject) -> list[str]:
    """What is kept of Ada's own messages."""
    return [text for text in await subject.log() if not text.startswith("re: ")]
