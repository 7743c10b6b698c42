"""German, Spanish and French: what is said is said in full, and what may be answered is understood."""

import dataclasses
from string import Formatter

import pytest

from agent.brain.intents import Intent, read
from agent.brain.phrases import ENGLISH, SPOKEN, Phrases, phrases_for

ABROAD = sorted(SPOKEN - {"en"})
_TEXTS = [field.name for field in dataclasses.fields(Phrases) if field.type is str or field.type == "str"]


@pytest.mark.parametrize("language", ABROAD)
def test_every_phrase_is_said_and_keeps_its_gaps(language: str) -> None:
    phrases = phrases_for(language)

    assert _TEXTS
    for name in _TEXTS:
        text, english = getattr(phrases, name), getattr(ENGLISH, name)
        assert text.strip(), name
        assert gaps(text) == gaps(english), name
        assert name in {"date", "order_total"} or text != english, name
    assert len(phrases.months) == 12
    for name in ("profile_labels", "ticket_statuses", "language_names"):
        assert getattr(phrases, name).keys() == getattr(ENGLISH, name).keys()


def gaps(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text)} - {None}


@pytest.mark.parametrize("language", ABROAD)
@pytest.mark.parametrize(
    ("name", "intent"),
    [
        ("say_ticket", Intent.TICKET),
        ("say_person", Intent.HANDOFF),
        ("say_no", Intent.NO),
        ("say_cancel", Intent.CANCEL),
        ("say_retry", Intent.YES),
        ("none_of_these", Intent.NO),
    ],
)
def test_a_quick_reply_is_understood(language: str, name: str, intent: Intent) -> None:
    (wish,) = read(getattr(phrases_for(language), name))

    assert wish.intent is intent


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Hallo!", Intent.GREETING),
        ("Vielen Dank", Intent.THANKS),
        ("Ja, bitte", Intent.YES),
        ("Wo ist meine Bestellung?", Intent.ORDERS),
        ("Ich möchte mit einem Menschen sprechen", Intent.HANDOFF),
        ("Bitte ein Ticket eröffnen", Intent.TICKET),
        ("Wie ist der Stand meines Tickets?", Intent.TICKET_STATUS),
        ("Was können Sie für mich tun?", Intent.ABILITIES),
        ("Wie setze ich mein Passwort zurück", Intent.QUESTION),
        ("¡Buenos días!", Intent.GREETING),
        ("Muchas gracias", Intent.THANKS),
        ("¿Dónde está mi pedido?", Intent.ORDERS),
        ("Quiero hablar con una persona", Intent.HANDOFF),
        ("quiero abrir una incidencia", Intent.TICKET),
        ("¿Quién eres?", Intent.IDENTITY),
        ("Cómo cambio mi contraseña", Intent.QUESTION),
        ("Bonsoir", Intent.GREETING),
        ("non merci", Intent.NO),
        ("Où est ma commande ?", Intent.ORDERS),
        ("Je voudrais parler à un conseiller", Intent.HANDOFF),
        ("Je veux ouvrir un ticket", Intent.TICKET),
        ("Comment changer mon mot de passe", Intent.QUESTION),
        ("Au revoir", Intent.BYE),
        ("Mein Board verbindet sich nicht", Intent.STATEMENT),
    ],
)
def test_a_wish_is_read(text: str, intent: Intent) -> None:
    assert [wish.intent for wish in read(text)] == [intent]
