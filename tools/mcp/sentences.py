"""
What a customer reads about an outside tool: the question before, and what came of it. By locale; never in a server's words.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from core.languages import in_language, set_apart
from tools.mcp.cleaning import cleaned

_LONGEST_VALUE = 200

SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "ask": "Before I do this, I need your yes. {title}{details}. Shall I go ahead?",
        "read": "I have looked that up.",
        "done": "That is done: {title}. Your receipt number is {receipt}.",
        "unknown": (
            "I cannot tell whether that went through: {title}. So that it does not happen twice, I will not repeat it; "
            "our team checks it under receipt number {receipt}."
        ),
    },
    "de": {
        "ask": "Bevor ich das tue, brauche ich Ihr Ja. {title}{details}. Soll ich das tun?",
        "read": "Ich habe nachgesehen.",
        "done": "Das ist erledigt: {title}. Ihre Belegnummer ist {receipt}.",
        "unknown": (
            "Ich kann nicht sagen, ob das geklappt hat: {title}. Damit es nicht zweimal geschieht, wiederhole ich es nicht; "
            "unser Team prüft es unter der Belegnummer {receipt}."
        ),
    },
    "es": {
        "ask": "Antes de hacerlo necesito su sí. {title}{details}. ¿Lo hago?",
        "read": "Lo he consultado.",
        "done": "Hecho: {title}. Su número de recibo es {receipt}.",
        "unknown": (
            "No puedo saber si se ha hecho: {title}. Para que no ocurra dos veces no lo repito; nuestro equipo lo comprueba "
            "con el número de recibo {receipt}."
        ),
    },
    "fr": {
        "ask": "Avant de le faire, j'ai besoin de votre oui. {title}{details}. Dois-je le faire ?",
        "read": "J'ai vérifié.",
        "done": "C'est fait : {title}. Votre numéro de reçu est {receipt}.",
        "unknown": (
            "Je ne peux pas savoir si cela a été fait : {title}. Pour que cela n'arrive pas deux fois, je ne le répète pas ; "
            "notre équipe le vérifie sous le numéro de reçu {receipt}."
        ),
    },
    "ar": {
        "ask": "قبل أن أفعل هذا أحتاج إلى موافقتك. {title}{details}. هل أمضي في ذلك؟",
        "read": "لقد اطلعت على ذلك.",
        "done": "تم ذلك: {title}. رقم الإيصال هو {receipt}.",
        "unknown": (
            "لا أستطيع معرفة هل تم ذلك: {title}. لكي لا يحدث مرتين لن أكرره، ويتحقق فريقنا منه تحت رقم الإيصال {receipt}."
        ),
    },
}


def outside_sentence(name: str, locale: str, **facts: object) -> str:
    apart = {fact: set_apart(value, locale) for fact, value in facts.items()}
    return in_language(SENTENCES, locale)[name].format_map(apart)


def question(title: str, values: Mapping[str, Any], locale: str) -> str:
    """With every argument that a model chose: the customer says yes to what is going to be sent, and to nothing else."""
    shown = ", ".join(
        set_apart(f"{_plain(name)} `{_shown(value)}`", locale) for name, value in values.items()
    )
    return in_language(SENTENCES, locale)["ask"].format(
        title=set_apart(_plain(title), locale), details=f": {shown}" if shown else ""
    )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return " ".join(cleaned(text, most=_LONGEST_VALUE).replace("`", "'").split())


def _plain(text: str) -> str:
    """Without what Markdown would make a link or an emphasis of."""
    plain = "".join(" " if each == "_" else each for each in text if each not in "`*[]()<>#|\\!")
    return " ".join(plain.split()) or "?"
