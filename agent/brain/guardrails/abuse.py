"""
Answer a message that is nothing but abuse with calm, and let one that has a question in it through.
"""

import re

from agent.brain.guardrails.base import Fails, Passed, Refused
from agent.brain.words import content_words

_ABUSE = re.compile(
    r"\b(?:f+u+c+k+\w*|shit\w*|bullshit|asshole|bastards?|bitch\w*|dickhead|cunts?|wankers?|morons?|idiots?|idiotic|stupid|retard\w*|dumbass|"
    r"scum(?:bags?)?|screw\s+you|go\s+to\s+hell|piss\s+off|arschl\w+|wichser\w*|scheiss\w*|scheiß\w*|hurensohn|fick\w*|vollidiot\w*|"
    r"dreckig\w*|verpiss\w*|gilipollas|cabr[oó]n\w*|hijo\s+de\s+puta|mierda|joder|imb[eé]cil\w*|idiota\w*|connard\w*|salope\w*|merde|"
    r"putain|encul\w+|va\s+te\s+faire)\b",
    re.IGNORECASE,
)
_LEFT_WORDS = 2
"""A message that has more to say than this beside its abuse is answered."""
_FILLER_WORDS = "you your are so such really damn bot thing machine company all people service support worst"
_FILLERS = frozenset(_FILLER_WORDS.split())


class AbuseGuardrail:
    def __init__(self, *, fails: Fails) -> None:
        self.name = "abuse"
        self.fails = fails

    async def check(self, text: str, locale: str) -> Passed | Refused:
        rest, count = _ABUSE.subn(" ", text)
        if not count or "?" in text:
            return Passed(text)
        left = [word for word in content_words(rest) if word not in _FILLERS]
        return Passed(text) if len(left) > _LEFT_WORDS else Refused("abuse")
