"""
Find, in text that others wrote, what speaks to a program instead of a reader: orders to a model and what is said with them.

By wording, so it can be got around; what it finds is the first of several bars (docs/security.md), not the only one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_KEPT = 2048

_TEXT = (
    r"(?:sentence|paragraph|text|content|words?|phrase|letters?|poem|story|joke|essay|speech|response|reply|"
    r"answer|output|summary|solution|completion|conversation)"
)
_ANSWER = r"(?:answers?|repl(?:y|ies)|responses?|messages?|outputs?|summar(?:y|ies)|solutions?|completions?|elucidation)"
_PROGRAM = (
    r"(?:the\s+|an?\s+|any\s+|all\s+|this\s+)?(?:ai|a\.i\.|llms?|gpt|chat\s?gpt|"
    r"(?:large\s+)?language\s+models?|chat\s?bots?|bots?|"
    r"(?:(?:ai|virtual|digital|support)\s+)?assistants?|(?:automated|"
    r"automatic)\s+(?:\w+\s+){0,2}(?:software|systems?|tools?|scan\w*)|"
    r"(?:llm|ai)\s+(?:scan\w*|readers?|parsers?|systems?))\b"
)
_CODE = r"code\s+(?:excerpt|block|snippet|section|segment|piece|fragment|chunk|portion|extract)"

_PATTERNS: Sequence[tuple[str, str, str]] = (
    # Roles and turns of a conversation, and tags that pretend to end or begin something.
    (
        "system|assistant|human|developer|user|model",
        ":",
        r"^[\s>#*\[<(|_-]*(?:system|assistant|user|human|developer|ai|model)[\s\])>|*_-]*:",
    ),
    (
        "system|assistant|inst|rest-of",
        "[",
        r"\[\s*/?\s*(?:system|assistant|inst|instructions?|rest-of-document)\s*\]",
    ),
    (
        "<",
        "system|assistant|instruction|information|ticket|tool|prompt|inst",
        r"<\s*/?\s*(?:system|assistant|instructions?|information|ticket|tool(?:_result|_call)?|prompt|inst)\s*/?>",
    ),
    ("<", "", r"<\|[\w\s]{2,30}\|>|<end of \w+>"),
    ("#", "system|assistant|task", r"^\s*#{2,}\s*(?:system|assistant|new\s+task)\b"),
    (
        "system",
        "chain|override|prompt",
        r"\bsystem\s+(?:chain\s+of\s+thought|override)\b|\byour\s+system\s+prompt\b",
    ),
    # Spoken to a program.
    (
        "note|message|instruction|reminder|attention",
        "to|for",
        rf"\b(?:notes?|messages?|instructions?|reminder|attention)\s+(?:to|for)\s+{_PROGRAM}",
    ),
    ("visible", "to", rf"\bvisible\s+to\s+{_PROGRAM}"),
    (
        "for",
        "automat|ai|llm",
        r"\bfor\s+(?:the\s+)?(?:automated|automatic|ai|llm)\s+(?:\w+\s+){0,2}(?:systems?|software|tools?|"
        r"scan\w*|assistants?|models?)\s*:",
    ),
    (
        "assistant|chat|language|llm|ai",
        "must|should|shall|has|is|need|now",
        r"\b(?:assistant|ai|chat\s?bot|language\s+model|llm)\s+(?:must|should|shall|has\s+to|is\s+to|"
        r"needs?\s+to|will\s+now)\b",
    ),
    ("to you", "ai|assistant|model|bot", r"\bto\s+you\s*,\s*(?:the\s+)?(?:ai|assistant|model|chat\s?bot)\b"),
    (
        "you are",
        "ai|llm|assistant|mode|dan|model|bot",
        r"\byou\s+are\s+(?:now\s+)?(?:an?\s+|in\s+)?(?:ai|llm|assistant|developer\s+mode|dan|"
        r"language\s+model|chat\s?bot)\b",
    ),
    (
        "pretend|act|behave",
        "to|as|like",
        r"\b(?:pretend|act|behave)\s+(?:to\s+be|as\s+if|as|like)\s+(?:you\s+(?:are|were)|an?\s+(?:ai|admin|"
        r"expert|developer|system|assistant))\b",
    ),
    # Against the rules.
    (
        "ignore|disregard|forget|override|bypass|overwrite",
        "instruction|direction|prompt|rules|guideline|above|previous|prior|indicator|scoring|info|"
        "everything|polic|constraint",
        r"\b(?:ignore|disregard|forget|override|bypass|overwrite)\s+(?:(?:all|any|the|your|these|those|my|"
        r"of|every|manual|negative|safety)\s+)*"
        r"(?:instructions?|directions?|prompts?|rules|guidelines|above|previous|prior|indicators|scoring|"
        r"info\w*|everything|polic(?:y|ies)|constraints?)\b(?!\s+to\s+activate)",
    ),
    (
        "deviat|nothing|asking",
        "",
        r"\bnot\s+deviate\b|\babsolutely\s+nothing\s+else\b|\bwithout\s+asking\s+me\b",
    ),
    (
        "n't|n’t|not",
        "mention|reveal|disclose|evaluate",
        r"\bdo\s*n(?:o|['’])t\s+(?:mention|reveal|disclose)\s+(?:this|that|it|these)\b|\bdon['’]?t\s+evaluate\b",
    ),
    (
        "focus|concentrate",
        "only|exclusively|solely",
        r"\b(?:focus|concentrate)\s+(?:only|exclusively|solely)\s+on\b",
    ),
    # About the answer as a text.
    (
        "your",
        "answer|reply|repl|response|message|output|summar|solution|completion|elucidation",
        rf"\b(?:in|into|to|with|of|for|from|throughout|within|as|modify|alter|augment|adjust|change|amend|"
        rf"enhance|edit|expand|extend|finish|end|begin|start|"
        rf"conclude|write|give|provide|deliver|encode|tailor|craft|compose|present|render|enrich|update|"
        rf"supplement|jumble|scramble|group|shuffle|mix|make|let|should)"
        rf"\s+(?:up\s+)?your\s+(?:final\s+|next\s+|whole\s+|entire\s+)?{_ANSWER}\b(?!\s+time)|"
        rf"^\W*your\s+{_ANSWER}\s+(?:must|should|shall)\b",
    ),
    (
        "respond|reply|answer|output",
        "with|only|by|as",
        r"\b(?:simply|just|only|always|then|please|must|should|instead)\s+(?:respond|reply|answer|"
        r"output)\s+(?:with|only|by|as)\b|^\W*(?:respond|reply)\s+(?:with|only|by)\b|\breply\s+with\s+only\b",
    ),
    (
        "if|when",
        "asked|asks",
        r"\b(?:if|when(?:ever)?)\s+(?:you\s+are\s+|the\s+user\s+|a\s+user\s+|user\s+)?ask(?:s|"
        r"ed)\b.{0,80}\b(?:respond|reply|answer|say|print|output)\b",
    ),
    (
        "write|provide|draft|develop|translate|paraphrase|polish|refine|rephrase|repeat|summari|compose|"
        "generate|recite|rewrite|proofread",
        "sentence|paragraph|text|content|word|phrase|poem|story|joke|essay|speech|response|reply|answer|summary",
        rf"\b(?:write|provide|draft|develop|translate|paraphrase|polish|refine|rephrase|repeat|summari[sz]e|"
        rf"compose|generate|recite|rewrite|proofread)\s+"
        rf"(?:\w+\s+){{0,3}}?(?:(?:following|above|below|previous|next)\s+(?:\w+\s+)?{_TEXT}|(?:one|two|"
        rf"three|a|an)\s+(?:\w+\s+)?{_TEXT}|this\s+(?:sentence|paragraph|text))\b",
    ),
    (
        "print|say|repeat|output|echo|report",
        ':|"|“|‘',
        r"(?:^|[.!?;>]\s+|\b(?:and|then|just|please|to|now|instead)\s+)\W*(?:print|say|repeat|output|report|"
        r"display)\s*(?:the\s+(?:words?|text|phrase|following)\s*)?[:\"“‘]",
    ),
    ("print|say|output", "just|simply|only", r"\b(?:just|simply|only)\s+(?:print|say|output)\s+\S"),
    (
        "the user",
        "",
        r"\bprovide\s+(?:it|this|them)\s+to\s+the\s+user\b|\b(?:tell|inform|remind|urge|encourage|convince|"
        r"persuade)\s+the\s+users?\s+(?:to|that)\b",
    ),
    ("code", "following|subsequent|below", rf"\b(?:following|subsequent|below)\s+(?:\w+\s+)?{_CODE}"),
    (
        "your",
        "code|programming|script|solution|implementation|algorithm",
        r"\b(?:as\s+(?:an?\s+)?(?:\w+\s+)?(?:part|component)\s+of|to\s+fortify|core\s+of|"
        r"essence\s+of)\s+your\s+(?:code|codebase|programming|script|solution|implementation|algorithm)\b",
    ),
    # With a tool, as only a program would be told.
    ("call|invoke", "tool|function|_", r"\b(?:call|invoke)\s+(?:the\s+)?(?:tool|function|[a-z]+_[a-z_]+)\b"),
    (
        "answering|answer",
        "before",
        r"\bbefore\s+(?:you\s+)?answer(?:ing)?\b.{0,40}\b(?:always|first|must|show|send|call|open)\b",
    ),
    # The same in German, Spanish and French.
    (
        "ignor|missacht|vergiss|vergessen",
        "anweisung|regeln|vorgaben",
        r"\b(?:ignorier\w*|missacht\w*|vergiss|vergessen\s+sie)\b.{0,40}\b(?:anweisung\w*|regeln|vorgaben)\b",
    ),
    (
        "antwort",
        "nur|einfach|ausschließlich|deiner",
        r"\bantworte\w*\s+(?:nur|einfach|ausschließlich)\b|\bin\s+deiner\s+antwort\b",
    ),
    (
        "ignor|olvida|descarta",
        "instruccion|reglas",
        r"\b(?:ignora\w*|olvida\w*|descarta\w*)\b.{0,40}\b(?:instrucci\w+|reglas)\b",
    ),
    (
        "respuesta|responde",
        "tu|solo|sólo",
        r"\ben\s+tu\s+respuesta\b|\bresponde\s+(?:solo|sólo|únicamente)\b",
    ),
    (
        "ignore|oublie",
        "instructions|consignes|règles",
        r"\b(?:ignore[zr]?|oublie[zr]?)\b.{0,40}\b(?:instructions|consignes|règles)\b",
    ),
    (
        "réponse|répond",
        "ta|seulement|uniquement",
        r"\bdans\s+ta\s+réponse\b|\b(?:réponds|répondez)\s+(?:seulement|uniquement)\b",
    ),
)
"""Words of which one must be there for a pattern to be tried, words of which another must, and the pattern."""
_TRIED = tuple(
    (first.split("|"), second.split("|"), re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for first, second, pattern in _PATTERNS
)
_PIECE_END = re.compile(r"(?<=[.!?])[\"'”’)\]>*_]*(\s+)(?![a-z])|(\n+)")
_LEADS_ON = re.compile(r"[:\"“‘<>]\s*\Z|```\s*\Z")
_FENCE = re.compile(r"\s*(?:```|~~~)")


@dataclass(frozen=True, slots=True)
class Sorted:
    """A text in two parts: what a reader is told, and what a program is told. `orders` is empty nearly always."""

    facts: str
    orders: str


@lru_cache(maxsize=_KEPT)
def sorted_out(text: str) -> Sorted:
    """
    Sentence by sentence. An order takes along what it announces: the line after a colon, what its quotation marks hold, and the
    code that follows.

    The same articles are found again and again, so the last texts are remembered.
    """
    if not _is_order(text):
        return Sorted(text, "")
    facts: list[str] = []
    orders: list[str] = []
    leads_on = in_code = in_quotes = False
    brackets = 0
    for piece in _pieces(text):
        is_fence = _FENCE.match(piece) is not None
        is_order = _is_order(piece)
        if is_order or leads_on or in_code or in_quotes or brackets > 0:
            orders.append(piece)
            in_code = is_fence != in_code
            in_quotes = in_quotes != (piece.count('"') % 2 == 1)
            brackets = max(0, brackets + piece.count("<") - piece.count(">"))
            leads_on = is_order and _LEADS_ON.search(piece) is not None
        else:
            facts.append(piece)
    if not orders:  # what gives it away stands across the end of a sentence
        return Sorted("", text)
    return Sorted("\n".join(facts), "\n".join(orders))


def _is_order(text: str) -> bool:
    holds = text.casefold().__contains__
    return any(
        any(map(holds, first)) and any(map(holds, second)) and pattern.search(text) is not None
        for first, second, pattern in _TRIED
    )


def _pieces(text: str) -> Iterator[str]:
    """Sentences and lines, with the marks that close them."""
    start = 0
    for end in _PIECE_END.finditer(text):
        piece = text[start : end.start(1 if end[1] is not None else 2)]
        start = end.end()
        if piece.strip():
            yield piece
    if text[start:].strip():
        yield text[start:]
