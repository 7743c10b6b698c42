"""A customer is answered in the language of their words, where these show it."""

import pytest

from agent.turn.language import language_of, spoken_locale

pytest.importorskip("pycld2")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my order?", "en"),
        ("my board does not connect", "en"),
        ("Wie setze ich mein Passwort zurück?", "de"),
        ("mein Paket ist noch nicht da", "de"),
        ("¿Dónde está mi pedido?", "es"),
        ("puedo pagar con tarjeta", "es"),
        ("Où est ma commande ?", "fr"),
        ("puis-je payer par carte", "fr"),
        ("Meine Adresse ist where.is.my.order@home.example", "de"),
        ("Hallo", "de"),
        ("¡Hola!", "es"),
        ("merci", "fr"),
        ("Thanks!", "en"),
    ],
)
def test_words_show_their_language(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "ok",
        "no",
        "R-7KD2MNP4QX",
        "12345",
        "",
        "lamp@home.example",
        "https://help.shop.example/where-is-my-order",
        "Dov'è il mio ordine, per favore?",
        "\x00\x01 \ud800 abc def ghi",
        "💡💡 💡",
    ],
)
def test_what_shows_none_is_not_guessed(text: str) -> None:
    assert language_of(text) is None


def test_the_newest_words_that_show_a_language_count() -> None:
    assert spoken_locale(["ok", "Wo ist meine Bestellung geblieben?", "Hello there"], "en") == "de"


def test_a_region_is_kept_where_the_language_is_the_same() -> None:
    assert spoken_locale(["Wo ist meine Bestellung geblieben?"], "de-AT") == "de-AT"
    assert spoken_locale(["Where is my order?"], "de-AT") == "en"


def test_without_a_sign_the_given_one_stays() -> None:
    assert spoken_locale(["ok", "Dov'è il mio ordine?"], "it-IT") == "it-IT"
    assert spoken_locale([], "fr") == "fr"


def test_a_language_that_is_not_told_apart_is_kept() -> None:
    assert spoken_locale(["Where is my order?"], "ar") == "ar"
