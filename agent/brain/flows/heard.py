"""
What a message says to an open question, whatever the question: yes, no, stop, or "no, I meant …".

In English, German, Spanish and French, beside what `agent.brain.intents` has understood.
"""

import re
from dataclasses import dataclass
from typing import Literal

from agent.brain.intents import asks

Word = Literal["yes", "no", "cancel"]


def _whole(*alternatives: str) -> re.Pattern[str]:
    courtesy = r"(?:[\s,.!]+(?:please|thanks|thank\s+you|bitte|danke|por\s+favor|gracias|s['’]il\s+vous\s+pla[iî]t|merci))*"
    return re.compile(rf"^\W*(?:{'|'.join(alternatives)}){courtesy}\W*$", re.IGNORECASE)


_YES = _whole(
    r"yes|yep|yeah|sure|ok(?:ay)?|correct|right|exactly|that['’]?s\s+(?:right|correct)|go\s+ahead",
    r"ja(?:wohl)?|genau|gerne?|stimmt|richtig|in\s+ordnung|einverstanden",
    r"s[ií]|claro|correcto|exacto|vale|de\s+acuerdo|adelante",
    r"oui|d['’]accord|exact(?:ement)?|c['’]est\s+(?:ça|bien\s+ça|correct)|bien\s+sûr",
)
_NO = _whole(r"no|nope|nah", r"nein|nee|nö", r"no", r"non")
_CANCEL = _whole(
    r"(?:no|nein|non)[\s,.!]+(?:cancel|stop|abbrechen|cancela|annulez)",
    r"cancel|stop|never\s*mind|forget\s+(?:it|about\s+it)",
    r"abbrechen|abbruch|brich\s+ab|brechen\s+sie\s+ab|vergiss\s+es|vergessen\s+sie\s+es|stopp?",
    r"cancel(?:a|ar|e)|d[eé]jalo|olv[ií]dalo|olvide(?:lo)?|para",
    r"annule[rz]?|laissez?\s+tomber|oublie[rz]?(?:\s+(?:ça|cela))?|arr[eê]te[rz]?",
)
_SORRY = r"(?:no|nope|nein|non|sorry|oops|wait|hold\s+on|perd[oó]n|pardon|désolée?|entschuldigung|moment)[\s,.!–-]+"
_REST = r"(?!\w)[\s:,–-]*(?P<rest>.*\w.*)$"
_CORRECTION = re.compile(
    rf"^\W*(?:{_SORRY}){{0,3}}"
    r"(?:i\s+meant(?:\s+to\s+(?:say|write))?|it\s+should\s+be|(?:change|correct)\s+(?:it|that)\s+to|correction"
    r"|ich\s+meinte|gemeint\s+(?:ist|war)|ich\s+wollte\s+sagen|korrektur"
    r"|quise\s+decir|quer[ií]a\s+decir|me\s+refer[ií]a\s+a|mejor\s+dicho|correcci[oó]n"
    rf"|je\s+voulais\s+dire){_REST}"
    rf"|^\W*(?:{_SORRY}){{1,3}}(?:i\s+mean|ich\s+meine|quiero\s+decir|je\s+veux\s+dire){_REST.replace('rest', 'sorry')}",
    re.IGNORECASE | re.DOTALL,
)
_PERHAPS = re.compile(
    rf"^\W*(?:{_SORRY}){{0,3}}"
    r"(?:i\s+mean|make\s+(?:it|that)|actually|ich\s+meine|eigentlich|doch\s+(?:lieber|eher)|quiero\s+decir|en\s+realidad"
    rf"|je\s+veux\s+dire|plut[oô]t|en\s+fait){_REST}"
    rf"|^\W*{_SORRY}(?P<sorry>.*\w.*)$",
    re.IGNORECASE | re.DOTALL,
)
"""Many a description begins so, too."""


@dataclass(frozen=True, slots=True)
class Heard:
    """
    `meant` is what follows "no, I meant"; `instead` what follows a "no" alone, or "actually", which may be a correction. `asks`
    says that it has the form of a question.
    """

    text: str
    word: Word | None = None
    meant: str | None = None
    instead: str | None = None
    asks: bool = False


def hear(text: str, understood: Word | None = None) -> Heard:
    """`understood` is what the reading of intents made of it."""
    word: Word | None = understood
    if word is None:
        patterns: tuple[tuple[Word, re.Pattern[str]], ...] = (
            ("cancel", _CANCEL),
            ("yes", _YES),
            ("no", _NO),
        )
        word = next((each for each, pattern in patterns if pattern.match(text)), None)
    if word is not None:
        return Heard(text, word)
    return Heard(text, meant=_rest(_CORRECTION, text), instead=_rest(_PERHAPS, text), asks=asks(text))


def _rest(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.match(text)
    return (found["rest"] or found["sorry"]).strip() if found else None
