"""
Everything the embedded brain says in its own words, by language.

A phrase states nothing about the company or its products: facts come from articles and tools. A language is
added by one more `Phrases`; a test holds that each fills every field.
"""

from agent.brain.phrase_fields import Phrases
from agent.brain.phrases_de import GERMAN
from agent.brain.phrases_es import SPANISH
from agent.brain.phrases_fr import FRENCH
from core.languages import language_of

__all__ = ["ENGLISH", "SPOKEN", "Phrases", "phrases_for"]

ENGLISH = Phrases(
    greeting="Hello! How can I help you?",
    how_are_you="I am doing fine, thank you. How can I help you?",
    thanks="You are welcome. Is there anything else?",
    bye="Goodbye, and thank you for getting in touch.",
    identity="I am the automatic support assistant of {company}: a program, not a person.",
    abilities=(
        "I can answer questions from the help articles, look up your orders and account, open a support "
        "ticket and tell you about "
        "the ones you have, send you something as a message, or hand you over to a person."
    ),
    nothing_said="I did not find a question in that. What would you like to know?",
    unknown="I do not know the answer to that: I found nothing in the help articles that I could rely on.",
    unknown_among_others="I do not know the answer to this: “{question}”",
    perhaps="I am not sure that this is what you mean, but it may help:",
    did_you_mean="I am not sure that I understood you. Is it about one of these?",
    none_of_these="None of these",
    cut_short="This is a part of the list; all of it is in the article.",
    other_language="I found this in {language}:",
    language_names={"en": "English", "de": "German", "es": "Spanish", "fr": "French"},
    offer="Shall I open a ticket about it, or hand you over to a person?",
    offer_person="Shall I hand you over to a person?",
    offer_contact="You can also reach us here: {address}",
    offer_declined="All right. Is there anything else?",
    nothing_to_confirm="I am not sure what you agree to. What can I do for you?",
    ticket_opening="I will open a ticket for you.",
    ask_subject="What is it about, in a few words?",
    ask_description="Please describe what happened and what you would like us to do.",
    ask_contact="At which e-mail address can we answer you?",
    contact_invalid="That does not look like an e-mail address.",
    description_short="That is a little short for the people who will work on it.",
    ticket_cancelled="All right, no ticket was opened.",
    nothing_to_cancel="There is nothing under way that I could stop. If you mean an order or a plan, tell me which.",
    back_to_ticket="Back to your ticket:",
    add_or_another="Shall I add it to ticket {reference}, or open another one?",
    orders_none="I see no orders in your account.",
    order_unknown="I see no order with that number in your account. Could you check it? These are your newest:",
    order="Order {order_id} ({items}): {status}",
    order_placed="placed on {date}",
    order_total="total {amount} {currency}",
    order_expected="expected on {date}",
    order_tracking="tracking number {number}",
    date="{day} {month} {year}",
    months=(
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    profile_heading="This is what we have on file about you:",
    profile_labels={
        "customer_id": "Customer number",
        "name": "Name",
        "email": "E-mail",
        "phone": "Phone",
        "locale": "Language",
        "timezone": "Time zone",
    },
    profile_undeliverable="{value} (messages to it come back)",
    ticket_line="{reference}, “{subject}”: {status}, last change on {updated}",
    ticket_statuses={"open": "open", "pending": "waiting for an answer", "solved": "solved"},
    notify_subject="What you asked us to send you",
    notify_what="What shall I send you? Ask me your question first, then I can send you the answer.",
    notify_nothing="I have nothing to send you yet, because I did not find an answer.",
    handoff_reason="The customer asks for a person.",
    say_ticket="Open a ticket",
    say_person="Talk to a person",
    say_no="No, thank you",
    say_cancel="Cancel",
    say_retry="Try again",
    say_add="Add it to that ticket",
    say_another="Open another one",
)

_BY_LANGUAGE = {"en": ENGLISH, "de": GERMAN, "es": SPANISH, "fr": FRENCH}
SPOKEN = frozenset(_BY_LANGUAGE)
"""The languages that there are phrases in."""


def phrases_for(locale: str) -> Phrases:
    """English where a language has no wording yet."""
    return _BY_LANGUAGE.get(language_of(locale), ENGLISH)
