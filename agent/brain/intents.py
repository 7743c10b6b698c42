"""
Read what a customer wants out of a message, by word patterns.

Decides on wording alone: what to do about it, and whether an article answers, is `agent.brain.embedded`'s.
In English; what it does not know is asked of `agent.brain.wishes_abroad`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.brain.wishes_abroad import asks_abroad, wish_abroad
from agent.brain.words import content_words


class Intent(StrEnum):
    GREETING = "greeting"
    HOW_ARE_YOU = "how_are_you"
    THANKS = "thanks"
    BYE = "bye"
    IDENTITY = "identity"
    ABILITIES = "abilities"
    YES = "yes"
    NO = "no"
    CANCEL = "cancel"
    TICKET = "ticket"
    TICKET_STATUS = "ticket_status"
    ORDERS = "orders"
    PROFILE = "profile"
    NOTIFY = "notify"
    HANDOFF = "handoff"
    QUESTION = "question"
    STATEMENT = "statement"


SMALL_TALK = frozenset(
    {Intent.GREETING, Intent.HOW_ARE_YOU, Intent.THANKS, Intent.BYE, Intent.IDENTITY, Intent.ABILITIES}
)
ANSWERED_FROM_ARTICLES = frozenset({Intent.QUESTION, Intent.STATEMENT})


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that the customer wants, in his words."""

    intent: Intent
    text: str


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


_PERSON = (
    r"(?:an?\s+|the\s+|your\s+|some\s+|another\s+)?(?:real\s+|actual\s+|live\s+|human\s+|support\s+|service\s+|customer\s+)*"
    r"(?:human(?:\s+being)?|person|people|agent|representative|rep|operator|employee|colleague|supervisor|manager|"
    r"staff(?:\s+member)?|adviser|advisor|somebody|someone|support\s+team|customer\s+(?:service|support|care))"
)
_ORDER = r"(?:orders?|packages?|parcels?|deliver(?:y|ies)|shipments?|purchases?)"
_TICKET = r"(?:support\s+)?(?:tickets?|cases?|complaints?)"
_BY_MESSAGE = (
    r"(?:by|via|as|per|in|to|through)\s+(?:an?\s+|my\s+|the\s+)?"
    r"(?:e-?mail|mail|inbox|sms|text(?:\s+message)?|phone|message)\b"
)
_REFERABLE = r"(?:it|that|this|those|these|them|the\s+(?:answer|steps|instructions|link|article|details|summary|above|receipt))"

_HOW_TO = _any(
    r"^\W*(?:and\s+|so\s+|but\s+)?how\s+(?!much\s+(?:was|is|did)\b)",
    r"^\W*what\s+(?:happens|if|(?:do|does|should|can|could|must)\s+(?:i|we|one))\b",
    r"^\W*(?:can|could|may)\s+i\b",
    r"^\W*where\s+(?:do|can|could|should)\s+i\b",
    r"^\W*why\b",
)
_NEGATED = _any(r"\b(?:do\s+not|don['’]?t|stop|never|no\s+longer|not\s+to|isn['’]?t|unsubscribe)\b")

_TICKET_STATUS = _any(
    rf"\b(?:status|state|progress|update|news)\b.{{0,30}}\b(?:my|the|our)\s+(?:\w+\s+)?{_TICKET}\b",
    r"\bmy\s+(?:open\s+|old\s+|last\s+|latest\s+|other\s+|support\s+)*(?:tickets?|cases?)\b(?!\s*(?::|is\s+about))",
    rf"\bwhat\s+(?:happened|became|about|is\s+happening)\s+(?:to|of|with)?\s*(?:my|the|our)\s+{_TICKET}\b",
    r"\b(?:show|list|find|see|check|which|what)\b.{0,20}\btickets\b",
    r"\bR-[0-9A-Z]{10}\b",
)
_TICKET_NEW = _any(
    rf"\b(?:open|create|raise|file|submit|make|start|log|lodge|register|put\s+in|need|want|write)\b.{{0,20}}\b{_TICKET}\b",
    r"\b(?:report|submit|file)\s+(?:a|an|this|the|my)\s+(?:\w+\s+)?(?:problem|bug|issue|fault|defect|incident|damage|error)\b",
    r"^\W*(?:i\s+(?:want|wish|would\s+like|['’]?d\s+like|need|have)\s+to\s+)?(?:complain|make\s+a\s+complaint)\b",
    r"\bhave\s+a\s+complaint\b",
    r"^\W*(?:a\s+|new\s+)*(?:support\s+)?ticket(?:\s+please)?\W*$",
)
_HANDOFF = _any(
    rf"\b(?:talk|speak|chat)\s+(?:to|with)\s+{_PERSON}\b",
    rf"\b(?:connect|transfer|pass|hand|put|refer|escalate)\b.{{0,20}}\b(?:to|with|through\s+to|over\s+to)\s+{_PERSON}\b",
    r"\b(?:want|need|get|give|like|prefer|have)\s+(?:me\s+)?(?:an?\s+)?(?:(?:real\s+|live\s+|human\s+)+(?:being|person|agent|operator|support)|human)(?![-\w])",
    r"\b(?:is|are)\s+there\s+(?:a|any)\s+(?:real\s+|live\s+)?(?:human|person|people)\b",
    r"^\W*(?:an?\s+|the\s+)?(?:real\s+|live\s+)?(?:human|person|agent|operator|representative|somebody\s+real)(?:\s+please)?\W*$",
    r"\b(?:call|phone|ring)\s+me\b",
    r"\bescalate\b",
)
_NOTIFY = _any(
    rf"\b(?:e-?mail|mail|text|sms|message|forward)\s+(?:me\s+)?(?:please\s+)?{_REFERABLE}\b",
    rf"\b(?:send|forward)\s+(?:me\s+)?{_REFERABLE}\b.{{0,30}}\b{_BY_MESSAGE}",
    rf"\b(?:send|forward)\s+(?:me\s+)?{_REFERABLE}(?:\s+(?:to\s+me|please))*\W*$",
    rf"\bsend\s+me\s+(?:an?\s+)?(?:e-?mail|mail|sms|text|message)\s+(?:with|about|of)\s+{_REFERABLE}\b",
)
_ORDERS = _any(
    rf"\b(?:where|when|what|which|show|list|check|see|has|have|did|is|are|was|status|track|tell|look|any|find)\b.{{0,40}}"
    rf"\b(?:my|our)\s+(?:\w+\s+)?(?:\w+\s+)?{_ORDER}\b",
    r"\b(?:status|state|progress)\s+of\s+(?:my\s+|the\s+|our\s+)?(?:last\s+|latest\s+)?order\b",
    r"\border\s+(?:status|history)\b",
    r"\b(?:order|purchase)\s*(?:no\.?|number|nr\.?|id)?\s*[#:]?\s*[A-Z]{0,4}-?\d{3,}",
    r"\b(?:what|which)\b.{0,20}\b(?:did|have)\s+i\s+(?:order|buy|bought|ordered)\b",
    rf"^\W*(?:my\s+)(?:last\s+|latest\s+|recent\s+)?{_ORDER}\W*$",
)
_ONCE_MORE_ORDERS = _any(
    r"^\W*(?:(?:and|so|but|then|ok(?:ay)?)[\s,]+)*(?:when|where)(?:['’]s|\s+(?:is|are|will|does|do|did|was|were|can))\s+(?:it|they|that|this)\b",
    r"\b(?:is|are|was|were|has|have|did|will)\s+(?:it|they|that|this)\b.{0,20}"
    r"\b(?:arriv\w*|come|coming|here|delivered|shipp?(?:ed|ing)?|sent|dispatched|due|on\s+(?:its|the)\s+way)\b",
    r"^\W*(?:(?:and|what\s+about|how\s+about|where\s+is|when\s+will)\s+)*the\s+(?:other|first|second|third|last|older|newer)"
    r"\s+(?:ones?|orders?|parcels?)(?:\s+(?:arrive|come|shipped|delivered))?\W*$",
    r"\b(?:how\s+much|what)\s+(?:did|have)\s+i\s+(?:pay|paid|spend|spent)\b|\bhow\s+much\s+(?:was|is|did)\s+(?:it|that|they)\b",
    r"^\W*(?:and\s+)?(?:what(?:\s+is|['’]s|\s+was)\s+)?(?:the|its|my)\s+(?:tracking(?:\s+(?:number|code))?|status|total|price)\W*$",
)
"""Said right after the orders were shown, it is about them."""
_NOT_THE_ORDERS = _any(r"\b(?:damaged|broken|defect\w*|wrong|missing|late|refund\w*|return\w*|exchange\w*)\b")
_PROFILE = _any(
    r"\b(?:what|which|show|see|check|tell)\b.{0,40}\b(?:you|i)\s+(?:have|store|know|keep)\b.{0,20}\b(?:about\s+me|on\s+file|of\s+me)\b",
    r"\bwhat\s+do\s+you\s+know\s+about\s+me\b",
    r"\b(?:what|which)(?:\s+is|['’]s)?\s+(?:my|the)?\s*(?:e-?mail(?:\s+address)?|phone(?:\s+number)?|address|name|customer\s+(?:id|number))"
    r"\b.{0,20}\b(?:on\s+file|in\s+my\s+account|do\s+you\s+have|you\s+have)\b",
    r"^\W*what(?:\s+is|['’]s)\s+my\s+(?:e-?mail(?:\s+address)?|(?:tele)?phone(?:\s+number)?|name)\W*$",
    r"\b(?:show|tell|give)\s+me\s+my\s+(?:account|profile|customer)(?:\s+(?:details|data|information|info|number))?\b",
    r"\bwhat(?:\s+is|['’]s)\s+my\s+(?:customer\s+(?:id|number)|account\s+(?:details|data|information|status))\b",
    r"\b(?:status\s+of\s+my|my)\s+account\s+status\b|\bstatus\s+of\s+my\s+account\b",
)
_IDENTITY = _any(
    r"\bwho\s+are\s+you\b",
    r"\bwhat\s+are\s+you\b",
    r"\bare\s+you\s+(?:an?\s+)?(?:real|human|bot|robot|machine|person|program|ai|chatbot)\b",
    r"\b(?:what(?:\s+is|['’]s)\s+your\s+name)\b",
    r"\bam\s+i\s+(?:talking|speaking|chatting)\s+(?:to|with)\b",
)
_ABILITIES = _any(
    r"\bwhat\s+can\s+(?:you\s+(?:do|help)|i\s+ask)\b(?=(?:\s+(?:you|for\s+me|with|me|here))*\W*$)",
    r"\bhow\s+can\s+you\s+help(?:\s+me)?\W*$",
    r"^\W*(?:help(?:\s+me)?|i\s+need\s+(?:some\s+)?help|can\s+you\s+help(?:\s+me)?)(?:\s+please)?\W*$",
)
_CANCEL = _any(
    r"^\W*(?:(?:please|actually|no|oh|well|sorry|wait|hm+|ok(?:ay)?|let['’]?s|just)[\s,.!]+){0,3}"
    r"(?:cancel|stop|abort|quit|exit|forget|leave|drop|never\s*mind)(?:\s+(?:it|that|this|about\s+(?:it|that)|the\s+ticket|my\s+ticket))?"
    r"(?:[\s,]+(?:please|now|thanks|thank\s+you))?\W*$",
    r"^\W*(?:i\s+)?(?:changed\s+my\s+mind|do\s+not\s+want\s+(?:a|the|this)\s+ticket|don['’]?t\s+want\s+(?:a|the|this)\s+ticket)\b.{0,30}$",
    r"^\W*(?:no|please)?\W*\b(?:cancel|stop|forget)\s+(?:the|this|my)\s+ticket\b.{0,20}$",
)
_YES = _any(
    r"^\W*(?:yes|yep|yeah|yup|ya|sure|ok(?:ay)?|alright|all\s+right|please|please\s+do|do\s+(?:it|that|so)|go\s+ahead|of\s+course|certainly|"
    r"absolutely|definitely|correct|right|exactly|try\s+again|y)"
    r"(?:[\s,.!]+(?:please|thanks|thank\s+you|do\s+(?:it|that|so)|go\s+ahead|sure|ok(?:ay)?|yes|that\s+would\s+be\s+(?:great|nice|good)))*\W*$"
)
_NO = _any(
    r"^\W*(?:no|nope|nah|not\s+(?:now|really|yet|needed|necessary)|no\s+need|neither|none(?:\s+of\s+(?:these|those|them))?|n)"
    r"(?:[\s,.!]+(?:please|thanks|thank\s+you|that['’]?s\s+(?:all|it|fine|ok(?:ay)?)|not\s+now|it['’]?s\s+(?:fine|ok(?:ay)?)|i['’]?m\s+(?:good|fine)))*\W*$"
)

# What may stand before or after a wish and is taken off: alone, it is the wish.
_GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|hiya|howdy|greetings|good\s+(?:morning|day|afternoon|evening)|is\s+(?:anybody|anyone|somebody|someone)\s+there|dear\s+(?:team|support|all|sirs?))"
    r"(?:\s+(?:there|all|everyone|everybody|team|again|bot|support|guys|careline))*(?=\W|$)[\s,.!:;–-]*",
    re.IGNORECASE,
)
_THANKS_FIRST = re.compile(
    r"^\W*(?:ok(?:ay)?\W+|great\W+|perfect\W+|cool\W+|super\W+|nice\W+)*(?:(?:many\s+)?thanks|thank\s+you|thx|ty|cheers|much\s+appreciated)"
    r"(?:\s+(?:a\s+lot|so\s+much|very\s+much|again|anyway|in\s+advance|for\s+(?:your|the|that|this|all)(?:\s+\w+){0,3}|you))*(?=\W|$)[\s,.!;:–-]*",
    re.IGNORECASE,
)
_THANKS_LAST = re.compile(
    r"[\s,.!;–-]+(?:(?:many\s+)?thanks|thank\s+you|thx|cheers)(?:\s+(?:a\s+lot|so\s+much|very\s+much|in\s+advance|again))*\W*$",
    re.IGNORECASE,
)
_PRAISE = _any(
    r"^\W*(?:great|perfect|awesome|cool|excellent|wonderful|super|nice|good|that\s+(?:helped|helps|worked|works)|it\s+(?:worked|works)(?:\s+now)?|"
    r"got\s+it|i\s+see|understood)(?:\s+(?:job|work|one|answer|now))?\W*$"
)
_BYE = re.compile(
    r"^\W*(?:good\s*bye|bye(?:\s+bye)?|see\s+(?:you|ya)(?:\s+(?:later|soon))?|have\s+a\s+(?:nice|good|great)\s+(?:day|evening|weekend|one)|"
    r"good\s+night|farewell|that(?:\s+is|['’]s)\s+all(?:\s+for\s+now)?|that\s+was\s+all)(?=\W|$)[\s,.!;:–-]*",
    re.IGNORECASE,
)
_HOW_ARE_YOU = re.compile(
    r"^\W*(?:how\s+are\s+you(?:\s+(?:doing|today))*|how['’]?s\s+it\s+going|what['’]?s\s+up)\W*$",
    re.IGNORECASE,
)

# First match wins: the third pattern must not match.
_RULES: tuple[tuple[Intent, re.Pattern[str], re.Pattern[str] | None], ...] = (
    (Intent.CANCEL, _CANCEL, None),
    (Intent.YES, _YES, None),
    (Intent.NO, _NO, None),
    (Intent.THANKS, _PRAISE, None),
    (Intent.ABILITIES, _ABILITIES, None),
    (Intent.IDENTITY, _IDENTITY, None),
    (Intent.TICKET_STATUS, _TICKET_STATUS, None),
    (Intent.HANDOFF, _HANDOFF, _NEGATED),
    (Intent.TICKET, _TICKET_NEW, _NEGATED),
    (Intent.NOTIFY, _NOTIFY, _NEGATED),
    (Intent.PROFILE, _PROFILE, None),
    (Intent.ORDERS, _ORDERS, _HOW_TO),
)

_BLANKS = re.compile(r"[^\S\n]+")
_SENTENCE_GAP = re.compile(r"(?<=[.?!])\s+|\n+")
_SECOND_QUESTION = re.compile(
    r"[,;]?\s+and\s+(?:also\s+)?(?=(?:how|what|where|when|why|which|who|can|could|do|does|is|are)\s+(?:\w+\s+){2,})",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?\s*$|^\W*(?:and\s+|but\s+|so\s+|also\s+)?(?:how|what|where|when|why|which|who|whose|can|could|do(?!\s+not\b)|does|did|is|are|am|was|will|would|"
    r"should|may|has|have)\b",
    re.IGNORECASE,
)
_FOLLOWS_UP = re.compile(
    r"^\W*(?:and|but|or|so|then|also|what\s+about|how\s+about|what\s+if|why\s+(?:is\s+that|not)|else)\b"
    r"|\b(?:do|does|did|is|are|will|can|would|should|about|of|for|with|to|than|like|after|before)\s+(?:it|that|this|they|them|those|these)\b"
    r"|\b(?:it|that|this|them|there|then)\W*$",
    re.IGNORECASE,
)
_ASKS_FOR_PLACE = re.compile(
    r"^\W*where(?:\s+exactly)?\s+(?:are\s+you(?:\s+(?:guys|located|based))?|(?:can|do)\s+i\s+find\s+you)\W*$",
    re.IGNORECASE,
)
_SELF_SUFFICIENT_WORDS = 4


def read(message: str) -> tuple[Wish, ...]:
    """
    The wishes of one message, in order; never empty.

    A statement beside a question belongs to it ("My board is offline. What can I do?" is one question); a
    question that only makes sense with the one before it is joined to it.
    """
    # One blank between words: the patterns below may then be generous with blanks without trying every split of a long run.
    message = _BLANKS.sub(" ", message).strip()
    wishes: list[Wish] = []
    for sentence in _sentences(message):
        wishes += _of_sentence(sentence)
    return tuple(_joined(wishes)) or (Wish(Intent.STATEMENT, message),)


def after_orders(wish: Wish) -> Wish:
    """The wish as it is meant where the last reply showed the orders: "and when will it arrive?"."""
    is_about_them = (
        wish.intent in ANSWERED_FROM_ARTICLES
        and _ONCE_MORE_ORDERS.search(wish.text) is not None
        and _NOT_THE_ORDERS.search(wish.text) is None
    )
    return Wish(Intent.ORDERS, wish.text) if is_about_them else wish


def follows_up(text: str) -> bool:
    """Whether a question leans on what was said before: "and how long does that take?"."""
    words = len(content_words(text))
    return not words or (words <= _SELF_SUFFICIENT_WORDS and _FOLLOWS_UP.search(text) is not None)


def in_full(text: str) -> str:
    """A question whose own words tell a search nothing, in words that do: "where are you?"."""
    return "What is your address?" if _ASKS_FOR_PLACE.match(text) else text


def asks(text: str) -> bool:
    """Whether it has the form of a question."""
    return _ASKS.search(text) is not None


def _sentences(message: str) -> list[str]:
    pieces = [piece for piece in _SENTENCE_GAP.split(message) if piece and re.search(r"\w", piece)]
    return [part for piece in pieces for part in (_SECOND_QUESTION.split(piece) if asks(piece) else [piece])]


def _of_sentence(sentence: str) -> list[Wish]:
    """Courtesies are taken off both ends; what is left is one wish."""
    before: list[Wish] = []
    after: list[Wish] = []
    rest = sentence
    for pattern, intent in (
        (_GREETING, Intent.GREETING),
        (_HOW_ARE_YOU, Intent.HOW_ARE_YOU),
        (_THANKS_FIRST, Intent.THANKS),
        (_BYE, Intent.BYE),
    ):
        if match := pattern.match(rest):
            before.append(Wish(intent, match[0].strip()))
            rest = rest[match.end() :]
    if (
        (match := _THANKS_LAST.search(rest))
        and match.start() > 0
        and not _YES.match(rest)
        and not _NO.match(rest)
    ):
        after.append(Wish(Intent.THANKS, match[0].strip()))
        rest = rest[: match.start()] + ("?" if "?" in match[0] else "")
    if not re.search(r"\w", rest):
        return before + after
    wish = Wish(_intent(rest), rest.strip())
    # "Hi, where is my order? Thanks": the courtesies around a real wish need no answer of their own.
    return [wish] if wish.intent not in SMALL_TALK else [*before, wish, *after]


def _intent(text: str) -> Intent:
    for intent, pattern, unless in _RULES:
        if pattern.search(text) and not (unless and unless.search(text)):
            return intent
    abroad = wish_abroad(text)
    if abroad is not None:
        return Intent(abroad)
    return Intent.QUESTION if asks(text) or asks_abroad(text) else Intent.STATEMENT


def _joined(wishes: Sequence[Wish]) -> list[Wish]:
    joined: list[Wish] = []
    for wish in wishes:
        last = joined[-1] if joined else None
        if last is not None and _belongs_together(last, wish):
            intent = Intent.QUESTION if Intent.QUESTION in (last.intent, wish.intent) else Intent.STATEMENT
            joined[-1] = Wish(intent, f"{last.text} {wish.text}")
        else:
            joined.append(wish)
    intents = {wish.intent for wish in joined}
    if Intent.BYE in intents:
        joined = [wish for wish in joined if wish.intent is not Intent.THANKS]
    if not intents <= SMALL_TALK:
        joined = [
            wish
            for wish in joined
            if wish.intent not in (Intent.GREETING, Intent.THANKS, Intent.BYE, Intent.HOW_ARE_YOU)
        ]
    return joined


def _belongs_together(last: Wish, wish: Wish) -> bool:
    if last.intent not in ANSWERED_FROM_ARTICLES or wish.intent not in ANSWERED_FROM_ARTICLES:
        return False
    if Intent.STATEMENT in (last.intent, wish.intent):
        return True
    return follows_up(wish.text)
