"""
What a customer reads when something is missing: what cannot be done now, what is done instead, and the next
step.

Keyed by locale, feature and dependency. Names nothing of the inside, and promises only what is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from core.languages import in_language, set_apart


@dataclass(frozen=True, slots=True)
class DegradedWording:
    """
    One locale. `copy_date` and `contact` are said only where they are known; both take their value by name.
    """

    sentences: Mapping[tuple[str, str], str]
    copy_date: str
    contact: str
    without_contact: str
    date_format: str = "%Y-%m-%d"


WORDINGS: Mapping[str, DegradedWording] = {
    "en": DegradedWording(
        sentences={
            ("conversation", "model"): (
                "I can only give short answers right now, taken word for word from our help articles."
            ),
            ("conversation", "sql"): (
                "Our records cannot be reached right now. Your message is kept safe, and I will answer as "
                "far as I can without them."
            ),
            ("knowledge_search", "vectors"): (
                "I can only search for the exact words right now, so I may miss an article that puts it "
                "differently. Trying other words can help."
            ),
            ("knowledge_search", "search_service"): (
                "The usual search of our help articles does not answer right now, so I am looking in a saved "
                "copy of them{copy_date}; the latest changes may be missing."
            ),
            ("knowledge_search", "sql"): (
                "I am searching a saved copy of our help articles{copy_date}, so the latest changes may be "
                "missing."
            ),
            ("knowledge_search", "knowledge"): (
                "I cannot search our help articles right now. I can still take a request for our team or "
                "pass you on to a person."
            ),
            ("tickets", "tickets"): (
                "The ticket desk cannot be reached right now. I can take a new request: you get its receipt "
                "number at once, and it is passed on as soon as the desk is back. I cannot look up earlier "
                "tickets until then."
            ),
            ("tickets", "sql"): (
                "Our records cannot be reached right now, so I cannot take a request for our team. Please ask again "
                "in a few minutes."
            ),
            ("customer_info", "customers"): (
                "I cannot look up your account or orders right now, and I will not guess. Everything else "
                "goes on as usual."
            ),
            ("notifications", "notifications"): (
                "I cannot send messages outside this chat right now. What you ask me to send is kept and "
                "goes out later; meanwhile you can read it here."
            ),
            ("notifications", "sql"): (
                "Our records cannot be reached right now, so I cannot send messages. Please ask again in a few "
                "minutes."
            ),
        },
        copy_date=" from {date}",
        contact="If it cannot wait, you can reach us at {contact}.",
        without_contact="If it cannot wait, ask me for a person.",
    ),
    "de": DegradedWording(
        sentences={
            ("conversation", "model"): (
                "Ich kann zurzeit nur kurze Antworten geben, wörtlich aus unseren Hilfeartikeln."
            ),
            ("conversation", "sql"): (
                "Unsere Unterlagen sind zurzeit nicht erreichbar. Ihre Nachricht ist sicher aufgehoben, und ich "
                "antworte, so weit es ohne sie geht."
            ),
            ("knowledge_search", "vectors"): (
                "Ich kann zurzeit nur nach den genauen Wörtern suchen und übersehe vielleicht einen Artikel, der es "
                "anders sagt. Versuchen Sie es gern mit anderen Wörtern."
            ),
            ("knowledge_search", "search_service"): (
                "Die gewohnte Suche in unseren Hilfeartikeln antwortet zurzeit nicht; ich suche in einer "
                "gespeicherten Kopie davon{copy_date}, in der die neuesten Änderungen fehlen können."
            ),
            ("knowledge_search", "sql"): (
                "Ich suche in einer gespeicherten Kopie unserer Hilfeartikel{copy_date}; die neuesten Änderungen "
                "können fehlen."
            ),
            ("knowledge_search", "knowledge"): (
                "Ich kann unsere Hilfeartikel zurzeit nicht durchsuchen. Eine Anfrage an unser Team nehme ich gern "
                "auf, oder ich gebe Sie an einen Menschen weiter."
            ),
            ("tickets", "tickets"): (
                "Die Ticketstelle ist zurzeit nicht erreichbar. Eine neue Anfrage nehme ich auf: Sie bekommen sofort "
                "die Belegnummer, und weitergegeben wird sie, sobald die Stelle wieder da ist. Frühere Tickets kann "
                "ich bis dahin nicht nachsehen."
            ),
            ("tickets", "sql"): (
                "Unsere Unterlagen sind zurzeit nicht erreichbar, deshalb kann ich keine Anfrage an unser Team "
                "aufnehmen. Bitte fragen Sie in ein paar Minuten noch einmal."
            ),
            ("customer_info", "customers"): (
                "Ich kann Ihr Konto und Ihre Bestellungen zurzeit nicht nachsehen, und raten werde ich nicht. Alles "
                "andere geht wie gewohnt."
            ),
            ("notifications", "notifications"): (
                "Ich kann zurzeit keine Nachrichten außerhalb dieses Chats senden. Was ich senden soll, ist "
                "aufgehoben und geht später hinaus; bis dahin lesen Sie es hier."
            ),
            ("notifications", "sql"): (
                "Unsere Unterlagen sind zurzeit nicht erreichbar, deshalb kann ich keine Nachrichten verschicken. "
                "Bitte fragen Sie in ein paar Minuten noch einmal."
            ),
        },
        copy_date=" vom {date}",
        contact="Wenn es eilt, erreichen Sie uns unter {contact}.",
        without_contact="Wenn es eilt, fragen Sie mich nach einem Menschen.",
        date_format="%d.%m.%Y",
    ),
    "es": DegradedWording(
        sentences={
            ("conversation", "model"): (
                "En este momento solo puedo dar respuestas breves, tomadas literalmente de nuestros artículos de ayuda."
            ),
            ("conversation", "sql"): (
                "En este momento no podemos consultar nuestros registros. Su mensaje está a salvo, y responderé hasta "
                "donde pueda sin ellos."
            ),
            ("knowledge_search", "vectors"): (
                "En este momento solo puedo buscar las palabras exactas, y quizá no encuentre un artículo que lo diga "
                "de otra forma. Puede ayudar probar con otras palabras."
            ),
            ("knowledge_search", "search_service"): (
                "La búsqueda habitual en nuestros artículos de ayuda no responde en este momento; busco en una "
                "copia guardada de ellos{copy_date}, en la que pueden faltar los últimos cambios."
            ),
            ("knowledge_search", "sql"): (
                "Estoy buscando en una copia guardada de nuestros artículos de ayuda{copy_date}; pueden faltar los "
                "últimos cambios."
            ),
            ("knowledge_search", "knowledge"): (
                "En este momento no puedo buscar en nuestros artículos de ayuda. Sí puedo tomar una solicitud para "
                "nuestro equipo o pasarle con una persona."
            ),
            ("tickets", "tickets"): (
                "En este momento no se puede contactar con la mesa de solicitudes. Puedo tomar una nueva: recibe su "
                "número de recibo enseguida, y se entrega en cuanto la mesa vuelva. Hasta entonces no puedo "
                "consultar solicitudes anteriores."
            ),
            ("tickets", "sql"): (
                "En este momento no podemos consultar nuestros registros, así que no puedo tomar una solicitud para "
                "nuestro equipo. Vuelva a pedirlo dentro de unos minutos."
            ),
            ("customer_info", "customers"): (
                "En este momento no puedo consultar su cuenta ni sus pedidos, y no voy a adivinar. Todo lo demás "
                "sigue como siempre."
            ),
            ("notifications", "notifications"): (
                "En este momento no puedo enviar mensajes fuera de este chat. Lo que me pida enviar queda guardado y "
                "saldrá más tarde; mientras tanto puede leerlo aquí."
            ),
            ("notifications", "sql"): (
                "En este momento no podemos consultar nuestros registros, así que no puedo enviar mensajes. Vuelva a "
                "pedirlo dentro de unos minutos."
            ),
        },
        copy_date=" del {date}",
        contact="Si no puede esperar, puede contactarnos en {contact}.",
        without_contact="Si no puede esperar, pídame hablar con una persona.",
        date_format="%d/%m/%Y",
    ),
    "fr": DegradedWording(
        sentences={
            ("conversation", "model"): (
                "Pour le moment, je ne peux donner que de courtes réponses, tirées mot pour mot de nos articles d’aide."
            ),
            ("conversation", "sql"): (
                "Nos dossiers ne sont pas accessibles pour le moment. Votre message est conservé, et je répondrai du "
                "mieux possible sans eux."
            ),
            ("knowledge_search", "vectors"): (
                "Pour le moment, je ne peux chercher que les mots exacts, et un article formulé autrement peut "
                "m’échapper. Essayer d’autres mots peut aider."
            ),
            ("knowledge_search", "search_service"): (
                "La recherche habituelle dans nos articles d’aide ne répond pas pour le moment ; je cherche "
                "dans une copie enregistrée de ceux-ci{copy_date}, où les derniers changements peuvent manquer."
            ),
            ("knowledge_search", "sql"): (
                "Je cherche dans une copie enregistrée de nos articles d’aide{copy_date} ; les derniers changements "
                "peuvent manquer."
            ),
            ("knowledge_search", "knowledge"): (
                "Je ne peux pas chercher dans nos articles d’aide pour le moment. Je peux toutefois prendre une "
                "demande pour notre équipe ou vous passer une personne."
            ),
            ("tickets", "tickets"): (
                "Le service des demandes n’est pas joignable pour le moment. Je peux en prendre une nouvelle : vous "
                "recevez aussitôt son numéro de reçu, et elle est transmise dès que le service revient. D’ici là, "
                "je ne peux pas consulter vos demandes précédentes."
            ),
            ("tickets", "sql"): (
                "Nos dossiers ne sont pas accessibles pour le moment, je ne peux donc pas prendre de demande pour "
                "notre équipe. Veuillez redemander dans quelques minutes."
            ),
            ("customer_info", "customers"): (
                "Je ne peux pas consulter votre compte ni vos commandes pour le moment, et je ne vais pas deviner. "
                "Tout le reste fonctionne comme d’habitude."
            ),
            ("notifications", "notifications"): (
                "Je ne peux pas envoyer de messages hors de ce chat pour le moment. Ce que vous me demandez d’envoyer "
                "est conservé et partira plus tard ; en attendant, vous pouvez le lire ici."
            ),
            ("notifications", "sql"): (
                "Nos dossiers ne sont pas accessibles pour le moment, je ne peux donc pas envoyer de messages. "
                "Veuillez redemander dans quelques minutes."
            ),
        },
        copy_date=" du {date}",
        contact="Si cela ne peut pas attendre, vous pouvez nous joindre à {contact}.",
        without_contact="Si cela ne peut pas attendre, demandez-moi une personne.",
        date_format="%d/%m/%Y",
    ),
    "ar": DegradedWording(
        sentences={
            ("conversation", "model"): (
                "لا أستطيع الآن إلا تقديم إجابات قصيرة، منقولة حرفيًا من مقالات المساعدة لدينا."
            ),
            ("conversation", "sql"): (
                "لا يمكن الوصول إلى سجلاتنا الآن. رسالتك محفوظة بأمان، وسأجيب بقدر ما أستطيع من دونها."
            ),
            ("knowledge_search", "vectors"): (
                "لا أستطيع الآن البحث إلا عن الكلمات نفسها، وقد يفوتني مقال يعبّر عنها بطريقة أخرى. قد يفيد تجربة "
                "كلمات أخرى."
            ),
            ("knowledge_search", "search_service"): (
                "البحث المعتاد في مقالات المساعدة لا يستجيب الآن، لذلك أبحث في نسخة محفوظة منها{copy_date}، وقد "
                "لا تتضمن آخر التغييرات."
            ),
            ("knowledge_search", "sql"): (
                "أبحث في نسخة محفوظة من مقالات المساعدة لدينا{copy_date}، وقد لا تتضمن آخر التغييرات."
            ),
            ("knowledge_search", "knowledge"): (
                "لا أستطيع البحث في مقالات المساعدة الآن. ما زلت أستطيع تسجيل طلب لفريقنا أو تحويلك إلى شخص."
            ),
            ("tickets", "tickets"): (
                "لا يمكن الوصول إلى مكتب الطلبات الآن. أستطيع تسجيل طلب جديد: تحصل على رقم الإيصال فورًا، ويُسلَّم "
                "الطلب حالما يعود المكتب. لا أستطيع حتى ذلك الحين الاطلاع على الطلبات السابقة."
            ),
            ("tickets", "sql"): (
                "لا يمكن الوصول إلى سجلاتنا الآن، لذلك لا أستطيع تسجيل طلب لفريقنا. يُرجى تكرار الطلب بعد بضع دقائق."
            ),
            ("customer_info", "customers"): (
                "لا أستطيع الاطلاع على حسابك أو طلباتك الآن، ولن أخمّن. كل ما عدا ذلك يعمل كالمعتاد."
            ),
            ("notifications", "notifications"): (
                "لا أستطيع إرسال رسائل خارج هذه المحادثة الآن. ما تطلب إرساله محفوظ وسيُرسَل لاحقًا، ويمكنك قراءته هنا "
                "في هذه الأثناء."
            ),
            ("notifications", "sql"): (
                "لا يمكن الوصول إلى سجلاتنا الآن، لذلك لا أستطيع إرسال رسائل. يُرجى تكرار الطلب بعد بضع دقائق."
            ),
        },
        copy_date=" بتاريخ {date}",
        contact="إذا كان الأمر لا يحتمل الانتظار، فيمكنك التواصل معنا عبر {contact}.",
        without_contact="إذا كان الأمر لا يحتمل الانتظار، فاطلب مني التحدث إلى شخص.",
    ),
}


OUTSIDE_TOOLS: Mapping[str, str] = {
    "en": "One of the services that I use for special requests cannot be reached right now. Everything else goes on as usual.",
    "de": "Einer der Dienste, die ich für besondere Anliegen nutze, ist gerade nicht erreichbar. Alles andere geht wie gewohnt.",
    "es": "Uno de los servicios que uso para peticiones especiales no está disponible ahora. Lo demás funciona como siempre.",
    "fr": "Un des services que j'utilise pour les demandes particulières est injoignable. Tout le reste fonctionne normalement.",
    "ar": "إحدى الخدمات التي أستخدمها للطلبات الخاصة غير متاحة الآن. كل ما عداها يعمل كالمعتاد.",
}
"""For whatever an installation has declared beside the features that every one has."""


def wording_for(locale: str) -> DegradedWording:
    """The wording of `de-AT`, else of `de`, else English."""
    return in_language(WORDINGS, locale)


def degraded_sentence(
    feature: str, dependency: str, locale: str, *, contact: str | None = None, copy_date: date | None = None
) -> str:
    """
    Raises:
        KeyError: nobody has declared what to say for this pair.
    """
    wording = wording_for(locale)
    dated = ""
    if copy_date is not None:
        dated = wording.copy_date.format(date=set_apart(copy_date.strftime(wording.date_format), locale))
    if feature == "outside_tools":
        sentence = in_language(OUTSIDE_TOOLS, locale)
    else:
        sentence = wording.sentences[feature, dependency].replace("{copy_date}", dated)
    next_step = (
        wording.without_contact
        if contact is None
        else wording.contact.format(contact=set_apart(contact, locale))
    )
    return f"{sentence} {next_step}"
