"""A whole turn is in the language of the customer's words, and stays in it where a message shows none."""

import re
from pathlib import Path
from typing import Any

import pytest

from agent.bootstrap import Careline, open_careline
from agent.brain.phrases import phrases_for
from agent.turn.inputs import ChatRequest
from agent.turn.language import language_of
from core.identity import DEFAULT_TENANT, Caller, CallerKind
from core.messages import TurnResult
from core.settings import Settings

pytest.importorskip("pycld2")


async def say(careline: Careline, message: str, conversation_id: str | None = None) -> TurnResult:
    submission = await careline.turns.submit(
        ChatRequest(caller=Caller(kind=CallerKind.LOCAL), message=message, conversation_id=conversation_id)
    )
    result = await careline.turns.wait(DEFAULT_TENANT, submission.turn_id, seconds=30)
    assert result is not None
    assert result.reply is not None
    return result


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("de", "Wie lange dauert die Lieferung nach Wien?"),
        ("es", "¿Cuánto tarda la entrega en Sevilla?"),
        ("fr", "Combien de temps prend la livraison à Lyon ?"),
        ("en", "How long does delivery to Leeds take?"),
    ],
)
async def test_a_turn_is_in_the_customers_language(tmp_path: Path, language: str, question: str) -> None:
    settings = Settings(
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'careline.db'}", data_dir=tmp_path / "data"
    )
    phrases = phrases_for(language)

    async with open_careline(settings) as careline:
        first = await say(careline, question)
        second = await say(careline, "??", first.conversation_id)

    assert first.reply is not None
    assert first.reply.text == f"{phrases.unknown}\n\n{phrases.offer}"
    assert first.reply.quick_replies == (phrases.say_ticket, phrases.say_person, phrases.say_no)
    assert second.reply is not None
    assert second.reply.text == first.reply.text


async def test_what_shows_no_language_is_answered_in_the_default(tmp_path: Path) -> None:
    settings = Settings(
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'careline.db'}",
        data_dir=tmp_path / "data",
        default_locale="fr",
    )

    async with open_careline(settings) as careline:
        result = await say(careline, "??")

    assert result.reply is not None
    assert result.reply.text == phrases_for("fr").nothing_said


WISHES = {
    "en": (
        "I would like to open a support ticket",
        "The lamp in my hall stays dark",
        "Show me all of my tickets, please",
    ),
    "de": (
        "Ich möchte bitte ein Ticket eröffnen",
        "Die Lampe in meinem Flur bleibt dunkel",
        "Zeigen Sie mir bitte alle meine Tickets",
    ),
    "es": (
        "Quiero abrir una incidencia, por favor",
        "La lámpara de mi pasillo no se enciende",
        "Muéstreme todas mis solicitudes, por favor",
    ),
    "fr": (
        "Je voudrais ouvrir un ticket d'assistance",
        "La lampe de mon couloir reste éteinte",
        "Montrez-moi toutes mes demandes, s'il vous plaît",
    ),
}
DESK_THAT_IS_AWAY: dict[str, Any] = {
    "ticket_desk": "zendesk",
    "ticket_desk_url": "http://127.0.0.1:9",
    "ticket_desk_user": "agent@shop.example",
    "ticket_desk_key": "key",
}
_BUTTONS = ("say_ticket", "say_person", "say_no", "say_cancel", "say_retry", "say_add", "say_another")
BUTTONS = {language: {getattr(phrases_for(language), name) for name in _BUTTONS} for language in WISHES}
OTHERS_BUTTONS = {
    language: set().union(*(BUTTONS[each] for each in WISHES if each != language)) - BUTTONS[language]
    for language in WISHES
}
_QUOTED = re.compile(r"[“„«].*?[”“»]")
_SENTENCE = re.compile(r"(?<=[.?!:])\s+|\n+")


def languages_in(reply: str) -> set[str]:
    """Of its sentences; what it quotes from the customer is the customer's."""
    found = {language_of(each) for each in _SENTENCE.split(_QUOTED.sub("", reply)) if len(each.split()) > 3}
    return {language for language in found if language is not None}


@pytest.mark.parametrize(
    ("own", "other", "is_desk_there"),
    [("en", "de", True), ("de", "fr", False), ("fr", "es", True), ("es", "en", False)],
)
async def test_a_message_in_another_language_turns_one_whole_turn_and_no_more(
    tmp_path: Path, own: str, other: str, *, is_desk_there: bool
) -> None:
    """Questions, what a tool did or could not do, lists and buttons: each reply is in one language, that of the newest words."""
    settings = Settings(
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'careline.db'}",
        data_dir=tmp_path / "data",
        **({} if is_desk_there else DESK_THAT_IS_AWAY),
    )
    said = [
        (own, WISHES[own][0]),
        (other, WISHES[other][1]),
        (own, WISHES[own][1]),
        (own, "lamp@home.example"),
        (other, WISHES[other][2]),
        (own, WISHES[own][2]),
    ]

    async with open_careline(settings) as careline:
        conversation_id, replies = None, []
        for language, message in said:
            result = await say(careline, message, conversation_id)
            conversation_id = result.conversation_id
            assert result.reply is not None
            replies.append((language, result.reply.text, result.reply.quick_replies))

    for language, text, quick_replies in replies:
        assert languages_in(text) == {language}, text
        assert not set(quick_replies) & OTHERS_BUTTONS[language]
