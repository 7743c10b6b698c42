"""
Recognise sentences that claim nothing about the company: greetings, offers, apologies, admissions.

Word lists in the languages that customers are expected to write. What is missing here makes a model's
courtesies disappear, never a wrong fact appear.
"""

import re

from tools.knowledge.words import terms

_ENGLISH = """
    hello hi dear good morning afternoon evening welcome sorry apology apologise apologize inconvenience
    unfortunately thank thanks help assist assistance assistant support team person human agent colleague
    somebody happy glad pleased gladly hope question answer article articles information info detail details
    describe description explain clarify tell ask word words issue problem request moment wait look search
    check find found know sure certain able unable try understand rely ticket open hand connect contact offer
    bring pass like follow following step steps summary here provide share matter case message conversation
    reach subject short please additional extra back soon feel touch let see say want need more else anything
    something now also first give take happen happened help
"""
_GERMAN = """
    hallo guten tag morgen abend willkommen danke vielen dank bitte leider gern gerne tut mir leid
    entschuldigung entschuldigen ich sie du ihr wir ihnen dir euch ihre ihren deine mir mich kann können
    könnte könnten helfe helfen hilfe weiter weiterhelfen frage fragen antwort information informationen dazu
    darüber dafür das die der den dem ein eine einen es ist nicht keine nichts weiß finden gefunden artikel
    team mitarbeiter person ticket öffnen eröffnen weiterleiten verbinden oder und mit zu bei wenn möchten
    noch etwas genauer beschreiben worum geht hier schritte verstehe verstanden freue mich
"""
_FRENCH = """
    bonjour bonsoir bienvenue merci désolé désolée malheureusement je vous tu te nous mon votre vos ne pas
    rien peux puis pouvons aider aide question questions réponse information informations article articles
    équipe personne conseiller ticket ouvrir transférer mettre relation ou et avec à le la les un une des de
    du cela est ce que trouvé trouver sais savoir volontiers voici étapes si souhaitez comprends
"""
_SPANISH = """
    hola buenos buenas días tardes noches bienvenido gracias siento lamento desgraciadamente yo usted tú te le
    me nos su sus no nada puedo podemos ayudar ayuda ayudarle ayudarte pregunta preguntas respuesta
    información artículo artículos equipo persona agente ticket abrir pasar conectar o y con a el la los las
    un una de del que es esto eso lo he encontrado encontrar sé saber gusto aquí pasos si desea quiere
    entiendo
"""
_BARE_WORDS = """
    yes yeah yep no nope sure of course certainly absolutely definitely exactly correct right indeed true that
    that's this s is it does do don t they we you can cannot not yes will would ja nein klar natürlich genau
    oui non bien sûr sí si claro sans doute
"""

_LETTERS = re.compile(r"[^\W\d_]+")
_BARE = frozenset(_BARE_WORDS.split())
COURTESY = frozenset(terms(f"{_ENGLISH} {_GERMAN} {_FRENCH} {_SPANISH}"))

_FROM_ME = re.compile(r"\b(?:i|me|my|ich|mir|je|yo|puedo|hello|hi|welcome|thanks?|sorry)\b", re.IGNORECASE)
_TO_YOU = re.compile(
    r"\b(?:you|your|let|sie|ihnen|du|dir|vous|votre|tu|te|usted|le|here|hier|voici|aquí)\b", re.I
)
_IGNORANCE = re.compile(
    r"\b(?:i|we)\b[^.]{0,20}?(?:\bnot\b|n['’]t\b|\bunable\b|\bcannot\b|\bno\b)[^.]{0,25}?"
    r"\b(?:know|find|found|sure|certain|answer|help|locate|information|able|rely)\b"
    r"|\bich\b[^.]{0,30}?\b(?:nicht|nichts|keine)\b|\bje ne\b[^.]{0,20}?\bpas\b"
    r"|\bno (?:sé|he encontrado|puedo|encuentro)\b",
    re.IGNORECASE,
)


def is_bare_answer(sentence: str) -> bool:
    """Without content of its own, such as "Yes, you can.", which is the boldest claim of all."""
    return _BARE.issuperset(_LETTERS.findall(sentence.casefold()))


def is_polite_phrase(sentence: str) -> bool:
    """Somebody speaks to somebody, and no word is about anything else."""
    words = terms(sentence)
    if not COURTESY.issuperset(words):
        return False
    return _FROM_ME.search(sentence) is not None or (bool(words) and _TO_YOU.search(sentence) is not None)


def admits_ignorance(sentence: str) -> bool:
    """ "I could not find…": names what the customer asked about and says nothing of it."""
    return _IGNORANCE.search(sentence) is not None
