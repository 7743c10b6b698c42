"""
What a customer reads when something is missing: what cannot be done now, what is done instead, and the next
step.

Keyed by locale, feature and dependency. Names nothing of the inside, and promises only what is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

DEFAULT_LOCALE = "en"


@dataclass(frozen=True, slots=True)
class DegradedWording:
    """
    One locale. `copy_date` and `contact` are said only where they are known; both take their value by name.
    """

    sentences: Mapping[tuple[str, str], str]
    copy_date: str
    contact: str
    without_contact: str
    date_format: str = "%Y-%m-%d"


WORDINGS: Mapping[str, DegradedWording] = {
    "en": DegradedWording(
        sentences={
            ("conversation", "model"): (
                "I can only give short answers right now, taken word for word from our help articles."
            ),
            ("conversation", "sql"): (
                "Our records cannot be reached right now. Your message is kept safe, and I will answer as "
                "far as I can without them."
            ),
            ("knowledge_search", "vectors"): (
                "I can only search for the exact words right now, so I may miss an article that puts it "
                "differently. Trying other words can help."
            ),
            ("knowledge_search", "sql"): (
                "I am searching a saved copy of our help articles{copy_date}, so the latest changes may be "
                "missing."
            ),
            ("knowledge_search", "knowledge"): (
                "I cannot search our help articles right now. I can still take a request for our team or "
                "pass you on to a person."
            ),
            ("tickets", "tickets"): (
                "The ticket desk cannot be reached right now. I can take a new request: you get its receipt "
                "number at once, and it is passed on as soon as the desk is back. I cannot look up earlier "
                "tickets until then."
            ),
            ("customer_info", "customers"): (
                "I cannot look up your account or orders right now, and I will not guess. Everything else "
                "goes on as usual."
            ),
            ("notifications", "notifications"): (
                "I cannot send messages outside this chat right now. What you ask me to send is kept and "
                "goes out later; meanwhile you can read it here."
            ),
        },
        copy_date=" from {date}",
        contact="If it cannot wait, you can reach us at {contact}.",
        without_contact="If it cannot wait, ask me for a person.",
    ),
}


def wording_for(locale: str) -> DegradedWording:
    """The wording of `de-AT`, else of `de`, else English."""
    language = locale.replace("_", "-").split("-")[0].lower()
    return WORDINGS.get(locale) or WORDINGS.get(language) or WORDINGS[DEFAULT_LOCALE]


def degraded_sentence(
    feature: str, dependency: str, locale: str, *, contact: str | None = None, copy_date: date | None = None
) -> str:
    """
    Raises:
        KeyError: nobody has declared what to say for this pair.
    """
    wording = wording_for(locale)
    dated = (
        "" if copy_date is None else wording.copy_date.format(date=copy_date.strftime(wording.date_format))
    )
    sentence = wording.sentences[feature, dependency].replace("{copy_date}", dated)
    next_step = wording.without_contact if contact is None else wording.contact.format(contact=contact)
    return f"{sentence} {next_step}"
