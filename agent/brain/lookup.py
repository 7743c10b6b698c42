"""
Answer a question from the articles, ask which article is meant, or admit not to know.
"""

import re
from collections.abc import Sequence

from agent.brain.answers import extract
from agent.brain.evidence import Verdict, judge
from agent.brain.intents import Intent, Wish, follows_up, in_full
from agent.brain.session import Offer, Session
from agent.brain.words import content_words
from core.languages import language_of
from core.records import Passage
from tools.protocol import ToolOutcome

_SEARCHED = 5
_SEARCHED_FOR_ONE = 10
_LONGEST_QUERY = 500
_LONGEST_ECHO = 120
_SEARCHES_A_TURN = 3
"""More questions than these in one turn are named as unanswered: each costs a search."""

_ORDINALS = (
    re.compile(r"^\W*(?:the\s+)?(?:1|1st|first|one)(?:\s+one)?(?:\s+please)?\W*$", re.IGNORECASE),
    re.compile(r"^\W*(?:the\s+)?(?:2|2nd|second|two)(?:\s+one)?(?:\s+please)?\W*$", re.IGNORECASE),
    re.compile(r"^\W*(?:the\s+)?(?:3|3rd|third|three|last)(?:\s+one)?(?:\s+please)?\W*$", re.IGNORECASE),
)


class Lookup:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._searches = 0

    async def answer(self, wish: Wish) -> None:
        text = in_full(wish.text)
        earlier = self._leans_on(text)
        if not content_words(f"{text} {earlier}"):
            return
        self._searches += 1
        if self._searches > _SEARCHES_A_TURN:
            await self.admit_not_to_know(text)
            return
        outcome = await self._search(f"{text} {earlier}")
        if outcome.is_ok:
            await self._say_what_was_found(text, outcome.passages, earlier=earlier)
        else:
            self._session.notes["unanswered"] = text
            await self._session.failed(outcome, Offer.TICKET)

    async def answer_if_sure(self, text: str) -> bool:
        """False, with nothing said, where no article clearly answers it."""
        earlier = self._leans_on(text)
        outcome = await self._search(f"{text} {earlier}")
        if not outcome.is_ok or judge(text, outcome.passages, earlier=earlier).verdict is not Verdict.ANSWERS:
            return False
        return await self._cite(text, outcome.passages[0], earlier=earlier)

    async def answer_from(self, article_id: str, text: str) -> bool:
        """From an article that is known to be the right one; False, with nothing said, where it is not found."""
        outcome = await self._search(text, limit=_SEARCHED_FOR_ONE)
        picked = next((passage for passage in outcome.passages if passage.article_id == article_id), None)
        return picked is not None and await self._cite(text, picked, earlier="")

    async def answer_choice(self, title: str) -> None:
        """The customer picked an article, so there is no doubt left about which one."""
        question: str = self._session.notes.get("question", title)
        outcome = await self._search(f"{title} {question}")
        if not outcome.is_ok:
            await self._session.failed(outcome, Offer.TICKET)
            return
        picked = next((passage for passage in outcome.passages if passage.title == title), None)
        if picked is None or not await self._cite(question, picked, earlier=""):
            await self.admit_not_to_know(question)

    async def ask_which(self, titles: Sequence[str]) -> None:
        phrases = self._session.phrases
        await self._session.draft.say("\n".join([phrases.did_you_mean, *(f"- {title}" for title in titles)]))
        self._session.notes["choices"] = list(titles)
        self._session.made_offer = Offer.CHOICE
        self._session.quick_replies = (*titles, phrases.none_of_these)
        self._session.needs_customer = True

    async def admit_not_to_know(self, question: str) -> None:
        phrases = self._session.phrases
        if self._session.draft.text:
            short = (
                question
                if len(question) <= _LONGEST_ECHO
                else question[:_LONGEST_ECHO].rsplit(" ", 1)[0] + "…"
            )
            await self._session.draft.say(phrases.unknown_among_others.format(question=short))
        else:
            await self._session.draft.say(phrases.unknown)
        self._session.notes["unanswered"] = question
        if self._session.made_offer is None:
            self._session.made_offer = Offer.TICKET

    def chosen(self, text: str, only: Wish | None) -> str | None:
        """Which of the titles that the last reply asked about is meant."""
        titles: list[str] = self._session.notes.get("choices", [])
        for ordinal, title in zip(_ORDINALS, titles, strict=False):
            if ordinal.match(text) or text.strip().casefold() == title.casefold():
                return title
        return titles[0] if len(titles) == 1 and only is not None and only.intent is Intent.YES else None

    def _leans_on(self, text: str) -> str:
        """The question before, where this one makes no sense without it."""
        return str(self._session.notes.get("question", "")) if follows_up(text) else ""

    async def _say_what_was_found(self, text: str, passages: Sequence[Passage], *, earlier: str) -> None:
        judgement = judge(text, passages, earlier=earlier)
        is_sure = judgement.verdict is Verdict.ANSWERS
        may_cite = is_sure or judgement.verdict is Verdict.PERHAPS
        if may_cite and await self._cite(text, passages[0], earlier=earlier, is_sure=is_sure):
            return
        self._session.notes["question"] = f"{text} {earlier}".strip()[:_LONGEST_QUERY]
        if judgement.verdict is Verdict.UNKNOWN or self._session.made_offer is Offer.CHOICE:
            await self.admit_not_to_know(text)
        else:
            await self.ask_which(judgement.titles)

    async def _search(self, words: str, *, limit: int = _SEARCHED) -> ToolOutcome:
        query = words.strip()[:_LONGEST_QUERY]
        return await self._session.tools.call("search_knowledge", {"query": query, "limit": limit})

    async def _cite(self, question: str, passage: Passage, *, earlier: str, is_sure: bool = True) -> bool:
        session = self._session
        found = extract(question, passage, context=earlier)
        if found is None:
            return False
        await self._say_its_language(passage)
        await session.draft.cite(
            found,
            before="" if is_sure else session.phrases.perhaps,
            after=session.phrases.cut_short if found.is_cut_short else "",
        )
        session.topic = (passage.article_id,)
        session.notes["question"] = f"{question} {earlier}".strip()[:_LONGEST_QUERY]
        session.notes.pop("unanswered", None)
        return True

    async def _say_its_language(self, passage: Passage) -> None:
        """An answer is quoted as the article has it; that it is in another language is said before."""
        if not passage.language:
            return
        language = language_of(passage.language)
        phrases = self._session.phrases
        if language != language_of(self._session.turn.locale):
            named = phrases.language_names.get(language, language)
            await self._session.draft.say(phrases.other_language.format(language=named))
