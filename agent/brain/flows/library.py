"""
The flows there are: those that come with Careline, a company's own over them, and which message begins which.
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

from agent.brain.flows.declared import Flow
from agent.brain.flows.located import FlowsUnusable, Problem
from agent.brain.flows.reading import STANDARD_GAPS, read_file
from agent.brain.flows.texts import Text, spoken
from agent.brain.flows.toolfacts import ToolFacts, standard_facts
from agent.brain.intents import Intent, asks, read
from agent.brain.phrases import ENGLISH, Phrases, phrases_for
from core.languages import DEFAULT_LANGUAGE, language_of

BUILT_IN = Path(__file__).parent / "builtin"
_ENDINGS = (".yaml", ".yml")
_STANDARD_NAMES = frozenset(STANDARD_GAPS) | {
    "invalid_number", "invalid_date", "invalid_email", "invalid_phone", "invalid_reference", "invalid_yes_no", "say_yes",
    "say_no", "out_of_time",
}  # fmt: skip

BEGIN_NOTHING = frozenset(
    {
        Intent.GREETING, Intent.HOW_ARE_YOU, Intent.THANKS, Intent.BYE, Intent.IDENTITY, Intent.ABILITIES, Intent.YES, Intent.NO,
        Intent.CANCEL, Intent.QUESTION, Intent.STATEMENT,
    }
)  # fmt: skip
"""Intents that are a conversation's own."""

_SENTENCE_GAP = re.compile(r"(?<=[.?!])\s+|\n+")
_AND = re.compile(
    r"\s*[;,]?\s+(?:and|und|y|e|et)\s+(?:(?:also|then|auch|außerdem|también|luego|aussi|puis)\s+)?",
    re.IGNORECASE,
)
_ASKS_THE_AGENT = re.compile(
    r"^\W*(?:(?:hi|hello|hallo|hola|bonjour|please|bitte)\W+)*(?:(?:can|could|would|will)\s+you|(?:kannst|könntest)\s+du|(?:können|könnten)\s+sie"
    r"|(?:me\s+)?(?:puedes?|podrías?)|(?:peux|pourrais)[\s-]tu|(?:pouvez|pourriez)[\s-]vous)\b",
    re.IGNORECASE,
)
"""A wish in the form of a question."""


@dataclass(frozen=True, slots=True)
class Request:
    """A flow that a message asks for, and the words that do."""

    flow: Flow
    words: str


class FlowLibrary:
    """`own` are a company's, which come first; `texts` by name go over the built-in phrases and standard texts."""

    def __init__(
        self, built_in: Iterable[Flow], own: Iterable[Flow], texts: Mapping[str, Text], *, own_texts: int = 0
    ) -> None:
        built_in = tuple(built_in)
        self.own = tuple(own)
        self.own_texts = own_texts
        self._built_in = built_in
        self._by_name = {flow.name: flow for flow in (*built_in, *self.own)}
        self._texts = dict(texts)
        self._by_intent = {
            intent: flow
            for flow in (*built_in, *self.own)
            if self._by_name[flow.name] is flow
            for intent in flow.triggers.intents
        }
        self._worded = [flow for flow in self.own if _has_wordings(flow)]
        self.phrases = lru_cache(maxsize=64)(self._phrases)

    @classmethod
    def load(
        cls, folder: Path | None, *, tools: Mapping[str, ToolFacts], has_own_intents: bool = False
    ) -> Self:
        """
        The built-in flows and those of the folder. `has_own_intents`: intents may be named that are not built in.

        Raises:
            FlowsUnusable: a file cannot be used; it names all that is wrong.
        """
        problems: list[Problem] = []
        intents = frozenset(each.value for each in Intent if each not in BEGIN_NOTHING)
        built_in, texts = _read_all(sorted(BUILT_IN.glob("*.yaml")), problems, tools, intents)
        files = _files_in(folder, problems) if folder is not None else []
        own, own_texts = _read_all(files, problems, tools, None if has_own_intents else intents)
        problems += _clashes(own)
        if problems:
            raise FlowsUnusable(problems)
        worded = {
            name: texts[name].with_more(text) if name in texts else text for name, text in own_texts.items()
        }
        return cls(built_in, own, {**texts, **worded}, own_texts=len(own_texts))

    def only_with(self, tools: Collection[str]) -> Self:
        """Those that need no other tools: nobody is asked for what could not be done."""

        def usable(flows: Iterable[Flow]) -> Iterable[Flow]:
            return (flow for flow in flows if flow.call is None or flow.call.tool in tools)

        return type(self)(usable(self._built_in), usable(self.own), self._texts, own_texts=self.own_texts)

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._by_name.values())

    def find(self, name: str) -> Flow | None:
        return self._by_name.get(name)

    def for_intent(self, intent: str) -> Flow | None:
        return self._by_intent.get(intent)

    def text(self, name: str, locale: str, **values: str) -> str:
        """A standard text."""
        return self._texts[name].say(locale, self.phrases(locale), values)

    def split(self, message: str) -> tuple[list[Request], str]:
        """What a message asks for of the flows that a company's wordings begin, each once, and what is left of it."""
        if not self._worded:
            return [], message
        requests: dict[str, Request] = {}
        rest = []
        for sentence in sentences_of(message):
            for part, flow in self._parts(sentence):
                if flow is None:
                    rest.append(part)
                else:
                    requests.setdefault(flow.name, Request(flow, part))
        return list(requests.values()), "\n".join(rest) if requests else message

    def _parts(self, sentence: str) -> list[tuple[str, Flow | None]]:
        """At its "and"s, where the parts ask for different things, at least one of them by a company's wordings."""
        whole = self._worded_for(sentence)
        parts = [(part, self._worded_for(part)) for part in _AND.split(sentence)] if whole is not None else []
        wanted = {flow.name if flow is not None else self._read_for(part) for part, flow in parts}
        return parts if len(wanted - {None}) > 1 else [(sentence, whole)]

    def _read_for(self, words: str) -> str | None:
        flows = (self.for_intent(wish.intent) for wish in read(words))
        return next((flow.name for flow in flows if flow is not None), None)

    def _worded_for(self, words: str) -> Flow | None:
        is_question = asks(words) and not _ASKS_THE_AGENT.search(words)
        for flow in self._worded:
            triggers = flow.triggers
            patterns = triggers.questions if is_question else triggers.phrases
            if any(each.search(words) for each in (*patterns, *triggers.patterns)):
                return flow
        return None

    def _phrases(self, locale: str) -> Phrases:
        """A language of which the company has no words of its own keeps the built-in ones."""
        built_in = phrases_for(locale)
        language = language_of(locale)
        is_spoken = built_in is not ENGLISH or language == DEFAULT_LANGUAGE
        own: dict[str, Any] = {}
        for name, text in self._texts.items():
            found = spoken(locale, text.by_language)
            if name not in _STANDARD_NAMES and (not is_spoken or found.partition("-")[0] == language):
                own[name] = text.by_language[found][0].source
        return dataclasses.replace(built_in, **own) if own else built_in


@cache
def built_in_flows() -> FlowLibrary:
    """Those that come with Careline, as they come."""
    return FlowLibrary.load(None, tools=standard_facts())


def sentences_of(message: str) -> list[str]:
    return [each for each in _SENTENCE_GAP.split(message) if re.search(r"\w", each)]


def _has_wordings(flow: Flow) -> bool:
    return bool(flow.triggers.phrases or flow.triggers.questions or flow.triggers.patterns)


def _read_all(
    files: Iterable[Path],
    problems: list[Problem],
    tools: Mapping[str, ToolFacts],
    intents: Collection[str] | None,
) -> tuple[list[Flow], dict[str, Text]]:
    flows: list[Flow] = []
    texts: dict[str, Text] = {}
    for file in files:
        flow, more = read_file(file, problems, tools=tools, intents=intents, standard=_STANDARD_NAMES)
        flows += [flow] if flow is not None else []
        texts |= more
    return flows, texts


def _files_in(folder: Path, problems: list[Problem]) -> list[Path]:
    if not folder.is_dir():
        problems.append(
            Problem(
                str(folder),
                1,
                "folder",
                "is not there, or no folder: CARELINE_FLOWS names one with .yaml files",
            )
        )
        return []
    files = sorted(each for each in folder.iterdir() if each.suffix in _ENDINGS)
    if not files:
        problems.append(Problem(str(folder), 1, "folder", "holds no file that ends in .yaml"))
    return files


def _clashes(flows: list[Flow]) -> Iterator[Problem]:
    names: dict[str, Flow] = {}
    intents: dict[str, Flow] = {}
    for flow in flows:
        if (other := names.setdefault(flow.name, flow)) is not flow:
            yield Problem(flow.file, flow.line, "flow", f"{flow.name} is declared in {other.file}, too")
        for intent in flow.triggers.intents:
            if intent and (other := intents.setdefault(intent, flow)) is not flow:
                yield Problem(flow.file, flow.line, "triggers.intents", f"{intent} begins {other.name}, too")
