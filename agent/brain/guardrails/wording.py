"""
What a customer reads where a guardrail stops a message, by locale.
"""

from collections.abc import Mapping
from typing import Literal

from core.languages import in_language

SentenceName = Literal["too_long", "language", "abuse", "topic", "unchecked"]

_SENTENCES: Mapping[str, Mapping[SentenceName, str]] = {
    "en": {
        "too_long": "That is more than I can read at once. Please send me the most important part, in a few sentences.",
        "language": "I can help you in these languages: {languages}. Please write to me in one of them.",
        "abuse": "I would like to help you. Please tell me what went wrong, or let me hand you over to a person.",
        "topic": "I cannot help with this topic here. Is there anything else that I can do for you?",
        "unchecked": "I cannot answer this at the moment. Your message is kept; I can hand you over to a person.",
    },
    "de": {
        "too_long": "Das ist mehr, als ich auf einmal lesen kann. Bitte schicken Sie mir das Wichtigste in ein paar Sätzen.",
        "language": "Ich kann Ihnen in diesen Sprachen helfen: {languages}. Bitte schreiben Sie mir in einer davon.",
        "abuse": "Ich möchte Ihnen helfen. Sagen Sie mir, was nicht geklappt hat, oder sprechen Sie mit einem Menschen.",
        "topic": "Zu diesem Thema kann ich hier nicht helfen. Kann ich sonst etwas für Sie tun?",
        "unchecked": "Das kann ich gerade nicht beantworten. Ihre Nachricht ist gespeichert; ein Mensch kann übernehmen.",
    },
    "es": {
        "too_long": "Es más de lo que puedo leer de una vez. Envíeme lo más importante en unas frases, por favor.",
        "language": "Puedo ayudarle en estos idiomas: {languages}. Escríbame en uno de ellos, por favor.",
        "abuse": "Quiero ayudarle. Dígame qué ha salido mal, o le paso con una persona.",
        "topic": "No puedo ayudarle aquí con este tema. ¿Puedo hacer algo más por usted?",
        "unchecked": "Ahora mismo no puedo responder a esto. Su mensaje está guardado; puedo pasarle con una persona.",
    },
    "fr": {
        "too_long": "C'est plus que je ne peux lire en une fois. Envoyez-moi l'essentiel en quelques phrases, s'il vous plaît.",
        "language": "Je peux vous aider dans ces langues : {languages}. Écrivez-moi dans l'une d'elles, s'il vous plaît.",
        "abuse": "Je voudrais vous aider. Dites-moi ce qui ne va pas, ou je vous passe une personne.",
        "topic": "Je ne peux pas vous aider ici sur ce sujet. Puis-je faire autre chose pour vous ?",
        "unchecked": "Je ne peux pas y répondre pour le moment. Votre message est conservé ; je peux vous passer une personne.",
    },
    "ar": {
        "too_long": "هذا أكثر مما أستطيع قراءته دفعة واحدة. أرسل لي أهم ما فيه في بضع جمل من فضلك.",
        "language": "يمكنني مساعدتك بهذه اللغات: {languages}. اكتب لي بإحداها من فضلك.",
        "abuse": "أودّ مساعدتك. أخبرني بما لم ينجح، أو دعني أحوّلك إلى شخص من فريقنا.",
        "topic": "لا يمكنني المساعدة في هذا الموضوع هنا. هل هناك شيء آخر يمكنني فعله لك؟",
        "unchecked": "لا يمكنني الإجابة عن هذا الآن. رسالتك محفوظة، ويمكنني تحويلك إلى شخص من فريقنا.",
    },
}


def sentence(name: SentenceName, locale: str, **facts: str) -> str:
    return in_language(_SENTENCES, locale)[name].format_map(facts)
