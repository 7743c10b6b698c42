"""
What the embedded brain has words for: each language fills every field (`agent.brain.phrases`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    greeting: str
    how_are_you: str
    thanks: str
    bye: str
    identity: str
    """{company}"""
    abilities: str
    nothing_said: str
    """For a message without a word in it."""

    unknown: str
    unknown_among_others: str
    """{question}; for one of several questions."""
    perhaps: str
    """Before an extract that is likelier than not to help, and not by much."""
    did_you_mean: str
    none_of_these: str
    cut_short: str
    other_language: str
    """{language}; before an extract that is not in the language of the conversation."""
    language_names: dict[str, str]
    """As they follow in `other_language`; a language that is not there is named by its code."""
    offer: str
    offer_person: str
    offer_contact: str
    """{address}"""
    offer_declined: str
    nothing_to_confirm: str

    ticket_opening: str
    ask_subject: str
    ask_description: str
    ask_contact: str
    contact_invalid: str
    description_short: str
    ticket_cancelled: str
    nothing_to_cancel: str
    back_to_ticket: str
    add_or_another: str
    """{reference}"""

    orders_none: str
    order_unknown: str
    order: str
    """{order_id} {items} {status}"""
    order_placed: str
    order_total: str
    order_expected: str
    order_tracking: str
    date: str
    """{day} {month} {year}"""
    months: tuple[str, ...]
    profile_heading: str
    profile_labels: dict[str, str]
    profile_undeliverable: str

    ticket_line: str
    """{reference} {subject} {status} {updated}"""
    ticket_statuses: dict[str, str]

    notify_subject: str
    notify_what: str
    notify_nothing: str
    handoff_reason: str

    say_ticket: str
    say_person: str
    say_no: str
    say_cancel: str
    say_retry: str
    say_add: str
    say_another: str
