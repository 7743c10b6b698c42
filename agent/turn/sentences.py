"""
What the turn itself may have to say when no brain can, by language.
"""

from collections.abc import Mapping
from typing import Literal

from core.languages import in_language

SentenceName = Literal["handed_over", "out_of_time", "stopped", "went_wrong", "one_at_a_time"]

SENTENCES: Mapping[str, Mapping[SentenceName, str]] = {
    "en": {
        "one_at_a_time": (
            "One thing at a time: what else you asked me to do is not done. Please tell me again when this is settled."
        ),
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
    },
    "de": {
        "one_at_a_time": (
            "Eins nach dem anderen: Was ich sonst noch tun sollte, ist nicht geschehen. Bitte sagen Sie es mir noch einmal, wenn "
            "dies geklärt ist."
        ),
        "handed_over": (
            "Jemand aus unserem Team hat diese Unterhaltung übernommen und antwortet Ihnen hier. Ihre Nachricht ist dafür "
            "aufgehoben."
        ),
        "out_of_time": (
            "Damit bin ich nicht rechtzeitig fertig geworden. Ihre Nachricht ist aufgehoben; Sie können mich noch einmal fragen, "
            "oder ich gebe Sie an einen Menschen weiter."
        ),
        "stopped": "Ich habe hier aufgehört, wie Sie es wollten.",
        "went_wrong": (
            "Während ich an Ihrer Nachricht war, ist bei uns etwas schiefgegangen. Sie ist aufgehoben; Sie können mich noch "
            "einmal fragen, oder ich gebe Sie an einen Menschen weiter."
        ),
    },
    "es": {
        "one_at_a_time": (
            "Cada cosa a su tiempo: lo demás que me pidió no está hecho. Por favor, dígamelo otra vez cuando esto esté resuelto."
        ),
        "handed_over": (
            "Una persona de nuestro equipo tiene ahora esta conversación y le responderá aquí. Su mensaje queda guardado."
        ),
        "out_of_time": (
            "No he podido terminar esto a tiempo. Su mensaje queda guardado; puede preguntarme otra vez, o puedo pasarle con una "
            "persona."
        ),
        "stopped": "Me he detenido aquí, como me pidió.",
        "went_wrong": (
            "Algo ha fallado por nuestra parte mientras trabajaba en su mensaje. Queda guardado; puede preguntarme otra vez, o "
            "puedo pasarle con una persona."
        ),
    },
    "fr": {
        "one_at_a_time": (
            "Une chose à la fois : le reste de ce que vous avez demandé n’est pas fait. Redites-le-moi, s’il vous plaît, "
            "quand ceci sera réglé."
        ),
        "handed_over": (
            "Une personne de notre équipe a repris cette conversation et vous répondra ici. Votre message est conservé pour elle."
        ),
        "out_of_time": (
            "Je n’ai pas pu terminer à temps. Votre message est conservé ; vous pouvez me redemander, ou je peux vous passer une "
            "personne."
        ),
        "stopped": "Je me suis arrêté ici, comme vous l’avez demandé.",
        "went_wrong": (
            "Quelque chose s’est mal passé de notre côté pendant que je traitais votre message. Il est conservé ; vous pouvez me "
            "redemander, ou je peux vous passer une personne."
        ),
    },
    "ar": {
        "one_at_a_time": (
            "كل شيء في وقته: ما طلبته غير ذلك لم يتم بعد. أخبرني به مرة أخرى من فضلك عندما ننتهي من هذا."
        ),
        "handed_over": "يتولى شخص من فريقنا هذه المحادثة الآن وسيجيبك هنا. رسالتك محفوظة له.",
        "out_of_time": (
            "لم أتمكن من إنهاء هذا في الوقت المناسب. رسالتك محفوظة، ويمكنك أن تسألني مرة أخرى، أو يمكنني تحويلك إلى شخص."
        ),
        "stopped": "توقفت هنا كما طلبت.",
        "went_wrong": (
            "حدث خلل من جانبنا أثناء عملي على رسالتك. رسالتك محفوظة، ويمكنك أن تسألني مرة أخرى، أو يمكنني تحويلك إلى شخص."
        ),
    },
}


def sentence(name: SentenceName, locale: str | None) -> str:
    return in_language(SENTENCES, locale)[name]
