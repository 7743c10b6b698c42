"""
The texts of a flow: per language, with gaps that the known values fill.

A text may list several wordings: the first whose gaps can all be filled is said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Self

from agent.brain.phrases import Phrases
from core.languages import DEFAULT_LANGUAGE


class BadTemplate(ValueError):
    """Braces that are no gap."""


@dataclass(frozen=True, slots=True)
class Template:
    """`source` is as it was written; `parts` are (words, name of the gap after them)."""

    source: str
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """
        Raises:
            BadTemplate: it says which braces, and what to write instead.
        """
        parts: list[tuple[str, str | None]] = []
        try:
            for words, name, form, conversion in Formatter().parse(text):
                if form or conversion or (name is not None and not name.isidentifier()):
                    raise BadTemplate(f"{{{name}}} is no gap: write {{NAME}}, or {{{{ and }}}} for braces")
                parts.append((words, name))
        except BadTemplate:
            raise
        except ValueError:
            raise BadTemplate("a brace is alone: write {NAME}, or {{ and }} for braces") from None
        return cls(text, tuple(parts))

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for _, name in self.parts if name is not None)

    @property
    def only(self) -> str | None:
        """The gap, where the template is nothing else."""
        (words, name), *others = self.parts or (("", None),)
        return name if not words and not others else None

    def fill(self, values: Mapping[str, str]) -> str | None:
        """None where a gap has no value."""
        if not all(values.get(name) for name in self.names):
            return None
        return "".join(words + (values[name] if name is not None else "") for words, name in self.parts)


def first_filled(wordings: Iterable[Template], values: Mapping[str, str]) -> str | None:
    return next((text for each in wordings if (text := each.fill(values)) is not None), None)


@dataclass(frozen=True, slots=True)
class Text:
    """In its own words by language, or the built-in phrase of that name."""

    by_language: Mapping[str, tuple[Template, ...]]
    phrase: str | None = None

    def with_more(self, other: "Text") -> "Text":
        """The other's words where it has some, else these."""
        return Text({**self.by_language, **other.by_language})

    def say(self, locale: str, phrases: Phrases, values: Mapping[str, str]) -> str:
        """Empty where no wording can be filled."""
        if self.phrase is not None:
            return str(getattr(phrases, self.phrase))
        return first_filled(self.by_language[spoken(locale, self.by_language)], values) or ""


def spoken(locale: str, languages: Mapping[str, object]) -> str:
    """Which of the languages a customer of this locale is answered in: theirs, else English, else the first."""
    locale = locale.replace("_", "-").lower()
    wanted = (locale, locale.partition("-")[0], DEFAULT_LANGUAGE)
    return next((each for each in wanted if each in languages), next(iter(languages)))
