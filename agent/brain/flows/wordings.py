"""
Read texts, phrases and labels out of a flow's file, and hold that each is there in every language that the flow speaks.
"""

import dataclasses
import re
from collections.abc import Collection

from agent.brain.flows.located import Located, Node
from agent.brain.flows.texts import BadTemplate, Template, Text
from agent.brain.phrases import ENGLISH
from core.languages import DEFAULT_LANGUAGE

PHRASES = frozenset(
    field.name for field in dataclasses.fields(ENGLISH) if isinstance(getattr(ENGLISH, field.name), str)
)
_WITHOUT_GAPS = frozenset(name for name in PHRASES if not Template.of(getattr(ENGLISH, name)).names)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z]{2,4})?")
_PHRASE_PART = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]|(\*)|([^\s()\[\]*]+)")
_GAP = r"(?:\s+\S+){0,5}?"


class Wordings:
    """Of one file. `check_languages` once all is read."""

    def __init__(self, located: Located) -> None:
        self._located = located
        self._spoken: list[tuple[Node, frozenset[str]]] = []

    def text(
        self,
        node: Node,
        *,
        gaps: Collection[str] = (),
        certain: Collection[str] = (),
        may_be_phrase: bool = True,
    ) -> Text | None:
        """`gaps` may be named; only `certain` ones are always known, so the last wording may name no other."""
        value = node.value
        if isinstance(value, dict) and "phrase" in value:
            if may_be_phrase:
                return self._phrase(node, value["phrase"])
            self._located.wrong(node, "must be in its own words")
            return None
        by_language: dict[str, tuple[Template, ...]] = {}
        for language, each in self._languages(node).items():
            wordings = tuple(
                wording
                for item in self._located.items(each)
                if (wording := self.template(item, gaps=gaps)) is not None
            )
            if wordings:
                self.check_certain(each, wordings, certain)
                by_language[language] = wordings
            else:
                self._located.text(each)
        return Text(by_language) if by_language else None

    def template(self, node: Node, *, gaps: Collection[str]) -> Template | None:
        text = self._located.text(node)
        try:
            template = Template.of(text)
        except BadTemplate as exc:
            self._located.wrong(node, str(exc))
            return None
        for name in sorted(template.names - set(gaps)):
            known = f"known here are {', '.join(sorted(gaps))}" if gaps else "nothing is known here"
            self._located.wrong(node, f"{{{name}}} names nothing; {known}")
        return template if text else None

    def check_certain(self, node: Node, wordings: tuple[Template, ...], certain: Collection[str]) -> None:
        unsure = sorted(wordings[-1].names - set(certain))
        if unsure:
            self._located.wrong(
                node,
                f'{{{unsure[0]}}} may be unknown when this is said; add a last wording without it: ["… {{{unsure[0]}}} …", "…"]',
            )

    def labels(self, node: Node) -> dict[str, tuple[str, ...]]:
        """The words for a choice by language, the first its label."""
        return {
            language: words
            for language, each in self._languages(node).items()
            if (
                words := tuple(
                    word for item in self._located.items(each) if (word := self._located.text(item))
                )
            )
        }

    def phrases(self, node: Node) -> list[str]:
        """As they are written. A list stands for itself, in any language; a language may have none."""
        lists = list(node.value.values()) if isinstance(node.value, dict) else [node]
        written = [self._located.text(item) for each in lists for item in self._located.items(each)]
        return [each for each in written if re.search(r"\w", each)]

    def pattern(self, node: Node) -> re.Pattern[str] | None:
        text = self._located.text(node)
        try:
            pattern = re.compile(text, re.IGNORECASE)
        except re.error as exc:
            self._located.wrong(node, f"is no regular expression: {exc}")
            return None
        if text and pattern.match(""):
            self._located.wrong(node, "matches the empty text, and so everything")
            return None
        return pattern if text else None

    def check_languages(self) -> None:
        every = frozenset(language for _, languages in self._spoken for language in languages)
        for node, languages in self._spoken:
            for language in sorted(every - languages):
                self._located.wrong(node, f"has no `{language}`, which other texts of this flow have")

    def _languages(self, node: Node) -> dict[str, Node]:
        if not isinstance(node.value, dict):
            by_language = {DEFAULT_LANGUAGE: node}
        else:
            by_language = {}
            for language, each in node.value.items():
                if _LANGUAGE.fullmatch(language):
                    by_language[language.lower()] = each
                else:
                    self._located.wrong(each, "is no language: write en, de, es, fr … or pt-BR")
        self._spoken.append((node, frozenset(by_language)))
        return by_language

    def _phrase(self, node: Node, name: Node) -> Text | None:
        self._located.mapping(node, known=("phrase",))
        wanted = self._located.one_of(name, _WITHOUT_GAPS, "")
        return Text({}, phrase=wanted) if wanted else None


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """`(a|b)` either, `[a]` perhaps, `*` up to five words; blanks are as wide as they come, an apostrophe is any."""
    pattern, is_first = "", True
    for either, perhaps, gap, word in _PHRASE_PART.findall(phrase):
        blank = "" if is_first else r"\s+"
        if gap:
            pattern += "" if is_first else _GAP
            continue
        words = either or perhaps or word
        piece = "|".join(_words(each) for each in words.split("|"))
        if not perhaps:
            pattern += f"{blank}(?:{piece})"
            is_first = False
        else:
            pattern += rf"(?:(?:{piece})\s+)?" if is_first else rf"(?:\s+(?:{piece}))?"
    return re.compile(rf"(?<!\w){pattern}(?!\w)", re.IGNORECASE)


def _words(text: str) -> str:
    return r"\s+".join(re.sub(r"['’]", "['’]", re.escape(word)) for word in text.split())
