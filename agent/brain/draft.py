"""
The reply while it grows: each paragraph is shown as soon as it is certain, and nothing is said twice.
"""

from agent.brain.answers import Extract
from agent.brain.base import Emitter
from core.messages import Citation


class Draft:
    """`text` is exactly what was emitted."""

    def __init__(self, out: Emitter) -> None:
        self._out = out
        self._paragraphs: list[str] = []
        self._citations: list[Citation] = []

    @property
    def text(self) -> str:
        return "\n\n".join(self._paragraphs)

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(self._citations)

    async def say(self, paragraph: str) -> None:
        if not paragraph or paragraph in self._paragraphs:
            return
        await self._out.text(f"\n\n{paragraph}" if self._paragraphs else paragraph)
        self._paragraphs.append(paragraph)

    async def cite(self, extract: Extract, *, before: str = "", after: str = "") -> None:
        """The extract with its number, between remarks of our own. The same piece is not cited twice."""
        passage = extract.passage
        if any(
            known.quote == extract.quote and known.article_id == passage.article_id
            for known in self._citations
        ):
            return
        number = len(self._citations) + 1
        self._citations.append(
            Citation(
                n=number,
                article_id=passage.article_id,
                title=passage.title,
                url=passage.url,
                quote=extract.quote,
            )
        )
        await self.say(before)
        await self.say(f"{extract.text} [{number}]")
        await self.say(after)
