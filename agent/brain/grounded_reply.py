"""
Turn what a model writes into the reply: whole sentences, each let out only when it is grounded, each with its
citation.

Courtesies wait until a fact follows them or the answer ends, so a reply never begins with "Of course!" and
ends with "I do not know".
"""

from dataclasses import dataclass, field

from agent.brain.base import Emitter
from agent.brain.grounding import Grounds, Judgement, Quote, Standing
from agent.brain.meaning import Meaning
from agent.brain.sentence_stream import Sentence, SentenceStream
from core.explanation import note
from core.messages import Citation


@dataclass(slots=True)
class _Written:
    """What stands in the reply so far."""

    pieces: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    facts: int = 0

    def copy(self) -> "_Written":
        return _Written(list(self.pieces), list(self.citations), self.facts)


class GroundedReply:
    """
    `text` is exactly what was emitted since the last reset.

    A model may write several answers in one turn, with tool calls between them: `end_answer` after each.
    """

    def __init__(self, grounds: Grounds, out: Emitter, meaning: Meaning | None = None) -> None:
        self._grounds = grounds
        self._out = out
        self._meaning = meaning
        self._stream = SentenceStream()
        self._written = _Written()
        self._before_answer = _Written()
        self._held: list[Sentence] = []
        self._gap = ""
        self.dropped = 0

    @property
    def text(self) -> str:
        return "".join(self._written.pieces)

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(self._written.citations)

    @property
    def has_facts(self) -> bool:
        return self._written.facts > 0

    async def write(self, text: str) -> None:
        for sentence in self._stream.feed(text):
            await self._take(sentence)

    async def restart_answer(self) -> None:
        """Forget the answer that is being written; what earlier answers of the turn said stays."""
        self._stream = SentenceStream()
        self._held.clear()
        self._gap = ""
        if self._written.pieces == self._before_answer.pieces:
            return
        self._written = self._before_answer.copy()
        await self._out.reset()
        if self.text:
            await self._out.text(self.text)

    async def end_answer(self, *, is_cut_short: bool = False) -> None:
        """Take the last sentence, or drop it where a limit cut it in the middle."""
        rest = self._stream.flush()
        if not is_cut_short:
            for sentence in rest:
                await self._take(sentence)
        self._before_answer = self._written.copy()

    def forget_courtesies(self) -> None:
        """ "Let me look…" is said before tools are called, and is stale afterwards."""
        self._held.clear()

    async def let_courtesies_out(self) -> None:
        """At the end, when nothing but courtesies was said."""
        await self._emit_held()

    async def say(self, paragraph: str) -> None:
        """A sentence of ours, as it stands."""
        await self._emit(Sentence("\n\n", paragraph))

    async def _take(self, sentence: Sentence) -> None:
        judgement = self._grounds.judge(sentence.text)
        if judgement.near and self._meaning is not None:
            quote = await self._meaning.quote(judgement.text, judgement.near)
            if quote is not None:
                judgement = Judgement(Standing.SUPPORTED, judgement.text, (quote,))
        shown = Sentence(sentence.gap, judgement.text)
        match judgement.standing:
            case Standing.SUPPORTED if judgement.text.endswith(":"):
                self._hold(shown)  # leads into what may not be let out
            case Standing.SUPPORTED:
                await self._emit_held()
                markers = "".join(f"[{self._number(quote)}]" for quote in judgement.quotes)
                self._written.facts += 1
                await self._emit(Sentence(shown.gap, f"{shown.text} {markers}" if markers else shown.text))
            case Standing.COURTESY if not self.has_facts or judgement.text.endswith(":"):
                self._hold(shown)
            case Standing.COURTESY:
                await self._emit(shown)
            case Standing.UNSUPPORTED:
                self.dropped += 1
                note("sentence_removed", sentence=judgement.text, why="no passage or tool result says it")
                self._gap = _wider(self._gap, sentence.gap)
            case Standing.EMPTY:
                self._gap = _wider(self._gap, sentence.gap)

    def _hold(self, sentence: Sentence) -> None:
        self._held.append(Sentence(_wider(self._gap, sentence.gap), sentence.text))
        self._gap = ""

    async def _emit_held(self) -> None:
        held, self._held = self._held, []
        for sentence in held:
            await self._emit(sentence)

    async def _emit(self, sentence: Sentence) -> None:
        gap = _wider(self._gap, sentence.gap)
        self._gap = ""
        piece = f"{_separator(gap)}{sentence.text}" if self._written.pieces else sentence.text
        self._written.pieces.append(piece)
        await self._out.text(piece)

    def _number(self, quote: Quote) -> int:
        """One number for each quote: a citation shows what supports its own sentence."""
        passage = quote.passage
        for citation in self._written.citations:
            if citation.article_id == passage.article_id and citation.quote == quote.text:
                return citation.n
        number = len(self._written.citations) + 1
        self._written.citations.append(
            Citation(
                n=number,
                article_id=passage.article_id,
                title=passage.title,
                url=passage.url,
                quote=quote.text,
            )
        )
        return number


def _wider(one: str, other: str) -> str:
    """Where sentences were dropped, the next one keeps the strongest break among them."""
    return max(one, other, key=lambda gap: (gap.count("\n"), len(gap)))


def _separator(gap: str) -> str:
    return "\n\n" if gap.count("\n") > 1 else gap or " "
