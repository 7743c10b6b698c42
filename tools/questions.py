"""
What a customer is asked before something is done that they did not ask for, by locale, with all that the yes is for.
"""

from collections.abc import Mapping

from core.languages import in_language

_LONGEST_SHOWN = 300

_QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "open_ticket": "Shall I open this ticket for you? “{subject}”: {description}",
        "add_to_ticket": "Shall I add this to your ticket {reference}? “{subject}”: {description}",
        "notify": "Shall I send you this message? “{subject}”: {body}",
        "handoff": "Shall I hand this conversation over to a person of our team?",
    },
    "de": {
        "open_ticket": "Soll ich dieses Ticket für Sie öffnen? „{subject}“: {description}",
        "add_to_ticket": "Soll ich das zu Ihrem Ticket {reference} hinzufügen? „{subject}“: {description}",
        "notify": "Soll ich Ihnen diese Nachricht schicken? „{subject}“: {body}",
        "handoff": "Soll ich dieses Gespräch an einen Menschen aus unserem Team übergeben?",
    },
    "es": {
        "open_ticket": "¿Le abro este ticket? «{subject}»: {description}",
        "add_to_ticket": "¿Añado esto a su ticket {reference}? «{subject}»: {description}",
        "notify": "¿Le envío este mensaje? «{subject}»: {body}",
        "handoff": "¿Paso esta conversación a una persona de nuestro equipo?",
    },
    "fr": {
        "open_ticket": "Dois-je ouvrir ce ticket pour vous ? « {subject} » : {description}",
        "add_to_ticket": "Dois-je ajouter ceci à votre ticket {reference} ? « {subject} » : {description}",
        "notify": "Dois-je vous envoyer ce message ? « {subject} » : {body}",
        "handoff": "Dois-je confier cette conversation à une personne de notre équipe ?",
    },
    "ar": {
        "open_ticket": "هل أفتح لك هذه التذكرة؟ «{subject}»: {description}",
        "add_to_ticket": "هل أضيف هذا إلى تذكرتك {reference}؟ «{subject}»: {description}",
        "notify": "هل أرسل إليك هذه الرسالة؟ «{subject}»: {body}",
        "handoff": "هل أحوّل هذه المحادثة إلى شخص من فريقنا؟",
    },
}


def question(name: str, locale: str, **given: str) -> str:
    shown = {key: _shown(value) for key, value in given.items()}
    return in_language(_QUESTIONS, locale)[name].format_map(shown)


def _shown(text: str) -> str:
    """In one line, and not longer than a customer reads before they say yes."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 1].rsplit(" ", 1)[0] + "…"
