"""
What the turn itself may have to say when no brain can: keyed by locale, English where a locale has no wording yet.
"""

from typing import Literal

SentenceName = Literal["handed_over", "out_of_time", "stopped", "went_wrong"]

_SENTENCES: dict[str, dict[SentenceName, str]] = {
    "en": {
        "handed_over": (
            "A person from our team has this conversation now and will answer you here. Your message has been kept for them."
        ),
        "out_of_time": (
            "I could not finish this in time. Your message is kept; you can ask me again, or I can hand you over to a person."
        ),
        "stopped": "I stopped here, as you asked.",
        "went_wrong": (
            "Something went wrong on our side while I worked on your message. It is kept; you can ask me again, or I can hand "
            "you over to a person."
        ),
    }
}


def sentence(name: SentenceName, locale: str | None) -> str:
    language = (locale or "en").split("-")[0].lower()
    return _SENTENCES.get(language, _SENTENCES["en"])[name]
