"""
What a request for a ticket says that it is about, beside asking for it.
"""

import re

_ABOUT = re.compile(
    r"\b(?:tickets?|cases?|complaints?|complain)\b(?:\s+(?:please|now|for\s+me|with\s+you))*\s*"
    r"(?::|[-–]\s|,|\b(?:about|because|that\s+says|saying|regarding|concerning|since|as|for|on)\b)\s*(.+)$"
    r"|\breport\s+(?:a|an|the|my)\s+\w+\s*(?::|[-–]\s|\b(?:with|about|of)\b)\s*(.+)$"
    # "Bitte ein Ticket öffnen: …", "Abrid una incidencia: …"
    r"|^[^:]*\b(?:tickets?|incidencias?|reclamación|beschwerde|réclamation)\b[^:]*:\s+(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_TOLD_BEFORE = re.compile(
    # "My lamp flickers, can you open a ticket?": what happened, a comma, and a short wish with the word in it
    r"^(?P<told>[^,;]*\S)[,;]\s*(?:\S+\s+){0,6}?(?:a|an|ein|un|une|una|el|le|la|das)\s+(?:\w+\s+)?"
    r"(?:tickets?|incidencia|réclamation|beschwerde)\b(?:\s+\S+){0,3}\W*$",
    re.IGNORECASE,
)
_TELLS_NOTHING = re.compile(
    r"^\W*(?:hi|hello|hey|good|dear|yes|yeah|no|ok|okay|sorry|thanks|thank|please|well|i\s+(?:need|want|would)|my\s+name|it|that|this"
    r"|hallo|guten|ja|nein|danke|bitte|hola|buenos|buenas|sí|gracias|bonjour|oui|non|merci)\b",
    re.IGNORECASE,
)
_POINTS_BACK = re.compile(
    r"^\W*(?:it|that|this|them|these|those|the\s+above|my\s+(?:problem|question|issue))\W*$", re.IGNORECASE
)


def subject_in(text: str) -> str | None:
    """What a request for a ticket already says that it is about: "open a ticket: my lamp flickers"."""
    found = _ABOUT.search(text)
    about = _found(found) if found else _told_before(text)
    return about if re.search(r"\w", about) and not _POINTS_BACK.match(about) else None


def _told_before(text: str) -> str:
    found = _TOLD_BEFORE.match(text)
    told = found["told"] if found else ""
    return told if len(told.split()) >= 3 and not _TELLS_NOTHING.match(told) else ""


def points_back(text: str) -> bool:
    """ "Open a ticket about it": what it is about was said before."""
    found = _ABOUT.search(text)
    return found is not None and _POINTS_BACK.match(_found(found)) is not None


def _found(found: re.Match[str]) -> str:
    about: str = next(filter(None, found.groups()))
    return about.strip()
