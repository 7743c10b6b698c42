"""
Read what a customer wants in German, Spanish and French, by word patterns.

Fewer than the English ones of `agent.brain.intents`, which asks here only where those say nothing. What is not recognised is a
question or a statement, and looked for in the articles.
"""

import re

_COURTESY = (
    r"(?:[\s,.!]+(?:bitte|danke|vielen\s+dank|por\s+favor|gracias|s['’]il\s+(?:vous|te)\s+pla[iî]t"
    r"|merci(?:\s+beaucoup)?))*"
)


def _whole(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"^\W*(?:{'|'.join(alternatives)}){_COURTESY}\W*$", re.IGNORECASE)


def _within(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in alternatives), re.IGNORECASE)


_PERSON_DE = r"(?:mensch(?:en)?|person|mitarbeiter(?:in)?|berater(?:in)?|kolleg(?:e|en|in)|jemande[mn]|kundendienst|support)"
_PERSON_ES = r"(?:persona|humano|agente|operador(?:a)?|alguien|compañer[oa]|asesor(?:a)?)"
_PERSON_FR = r"(?:personne|humain|agent|conseill(?:er|ère)|collègue|quelqu['’]un|opérateur|opératrice)"
_TICKET_DE = r"(?:support-?)?ticket|(?:support-?)?fall|beschwerde|reklamation"
_TICKET_ES = r"incidencia|ticket|reclamación|queja|caso"
_TICKET_FR = r"ticket|réclamation|plainte|dossier"
_ORDER_DE = r"(?:bestellung(?:en)?|paket(?:e)?|lieferung(?:en)?|sendung(?:en)?)"
_ORDER_ES = r"(?:pedidos?|paquetes?|envíos?|compras?)"
_ORDER_FR = r"(?:commandes?|colis|livraisons?|achats?)"

# The names are those of `agent.brain.intents.Intent`, in the order in which they are tried.
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "cancel",
        _whole(
            r"abbrechen|abbruch|brich\s+ab|brechen\s+sie\s+(?:das\s+)?ab|vergiss\s+es|vergessen\s+sie\s+(?:es|das)|stopp?",
            r"cancel(?:a|ar|e|alo|elo)|d[eé]jalo|d[eé]jelo|olv[ií]dalo|olv[ií]delo",
            r"annule[rz]?|laissez?\s+tomber|oublie[rz]?(?:\s+(?:ça|cela))?|arr[eê]te[rz]?",
        ),
    ),
    (
        "yes",
        _whole(
            r"ja(?:wohl)?(?:\s+gerne?)?|gerne?|genau|richtig|einverstanden|in\s+ordnung|noch\s+einmal\s+versuchen",
            r"s[ií](?:\s+claro)?|claro(?:\s+que\s+s[ií])?|vale|de\s+acuerdo|adelante|correcto|intentarlo\s+de\s+nuevo",
            r"oui|d['’]accord|bien\s+s[uû]r|volontiers|allez-y|exactement|r[eé]essayer",
        ),
    ),
    (
        "no",
        _whole(
            r"nein|nee|nö|nicht\s+nötig|nichts\s+davon|keine(?:s|r)?\s+davon",
            r"no(?:\s+hace\s+falta)?|nada\s+de\s+esto|ningun[oa](?:\s+de\s+(?:estos|ellos))?",
            r"non|pas\s+(?:la\s+peine|maintenant)|aucun(?:e)?\s+de\s+ceux-ci",
        ),
    ),
    (
        "greeting",
        _whole(
            r"hallo|guten\s+(?:tag|morgen|abend)|moin|servus|grüß\s+gott|grüezi",
            r"hola|buenos\s+d[ií]as|buenas(?:\s+(?:tardes|noches))?",
            r"bonjour|bonsoir|salut",
        ),
    ),
    (
        "thanks",
        _whole(
            r"(?:vielen\s+|herzlichen\s+|besten\s+)?dank(?:e)?(?:\s+(?:schön|sehr|ihnen|dir))?",
            r"(?:muchas\s+|mil\s+)?gracias",
            r"merci(?:\s+(?:beaucoup|bien))?",
        ),
    ),
    (
        "bye",
        _whole(
            r"auf\s+wiedersehen|tschüss?|bis\s+(?:bald|dann|später)|schönen\s+(?:tag|abend)(?:\s+noch)?",
            r"adi[oó]s|hasta\s+(?:luego|pronto|mañana)",
            r"au\s+revoir|à\s+bient[oô]t|bonne\s+(?:journée|soirée)",
        ),
    ),
    (
        "identity",
        _within(
            r"\bwer\s+(?:bist\s+du|sind\s+sie)\b|\b(?:bist\s+du|sind\s+sie)\s+ein(?:e)?\s+(?:mensch|maschine|roboter|bot|programm)",
            r"\bqui[eé]n\s+eres\b|\b(?:eres|es\s+usted)\s+(?:un|una)\s+(?:persona|humano|robot|máquina|bot|programa)",
            r"\bqui\s+(?:es-tu|[eê]tes-vous)\b|\b(?:es-tu|[eê]tes-vous)\s+(?:un|une)\s+(?:humain|personne|robot|machine|bot)",
        ),
    ),
    (
        "abilities",
        _within(
            r"\bwas\s+(?:kannst\s+du|können\s+sie)(?:\s+(?:alles|so|für\s+mich))*\s*(?:tun|machen)?\W*$|^\W*hilfe\W*$",
            r"\bqu[eé]\s+puedes?\s+hacer\b|^\W*ayuda\W*$",
            r"\bque\s+(?:peux-tu|pouvez-vous|savez-vous)\s+faire\b|^\W*(?:à\s+l['’])?aide\W*$",
        ),
    ),
    (
        "ticket_status",
        _within(
            r"\b(?:stand|status)\b.{0,20}\b(?:mein(?:e[srmn]?)?)\s+(?:tickets?|beschwerde|reklamation)\b|\bmeine?\s+(?:offenen\s+)?tickets?\W*$",
            r"\bestado\s+de\s+mis?\s+(?:incidencias?|tickets?|reclamaci[oó]n|queja)\b|\bmis\s+(?:incidencias|tickets)\W*$",
            r"\b(?:état|statut|suivi)\s+de\s+(?:mon|mes)\s+(?:tickets?|réclamations?)\b|\bmes\s+(?:tickets|réclamations)\W*$",
        ),
    ),
    (
        "handoff",
        _within(
            rf"\bmit\s+(?:eine[mr]\s+)?(?:echten\s+|richtigen\s+)?{_PERSON_DE}\s+(?:sprechen|reden|verbunden|verbinden|chatten)\b",
            rf"\b(?:hablar|chatear)\s+con\s+(?:una?\s+)?{_PERSON_ES}\b|\bp[aá]s(?:ame|eme|arme)\s+con\b",
            rf"\bparler\s+(?:à|avec)\s+(?:une?\s+)?(?:vraie?\s+)?{_PERSON_FR}",
            rf"^\W*(?:ein(?:en)?\s+)?{_PERSON_DE}\W*$|^\W*(?:una?\s+)?{_PERSON_ES}\W*$|^\W*(?:une?\s+)?{_PERSON_FR}\W*$",
        ),
    ),
    (
        "ticket",
        _within(
            rf"\b(?:{_TICKET_DE})\s+(?:öffnen|aufmachen|erstellen|anlegen|eröffnen|einreichen)\b|\b(?:öffne|erstelle|eröffne)\w*\b.{{0,20}}\b(?:{_TICKET_DE})\b"
            r"|\bmich\s+beschweren\b",
            rf"\b(?:abr(?:ir|e|a)|crear?|crea|poner|presentar|hacer)\b.{{0,15}}\b(?:{_TICKET_ES})\b|\bquejarme\b",
            rf"\b(?:ouvrir|ouvre[zr]?|créer|crée[rz]?|déposer|faire)\b.{{0,15}}\b(?:{_TICKET_FR})\b|\bme\s+plaindre\b",
        ),
    ),
    (
        "notify",
        _within(
            r"\b(?:schick|send)\w*\s+(?:sie\s+)?(?:mir\s+)?(?:das|es|die\s+antwort|die\s+anleitung)\b(?:.{0,20}\b(?:per|als|an)\b)?",
            r"\benv[ií](?:ame|eme|arme)(?:lo|la)?\b.{0,25}\b(?:por|como|al?)\s+(?:correo|e-?mail|sms|mensaje)|\benv[ií](?:amelo|emelo|ármelo)\b",
            r"\b(?:envo(?:ie|yez)|transmettez)[- ](?:le|la|les)?[- ]?moi\b.{0,25}|\benvoyer\s+(?:ça|cela)\s+par\b",
        ),
    ),
    (
        "orders",
        _within(
            rf"\b(?:wo|wann|welche|zeig\w*|status|stand|was\s+ist\s+mit)\b.{{0,30}}\b(?:mein(?:e[srmn]?)?|unser(?:e[srmn]?)?)\s+(?:\w+\s+)?{_ORDER_DE}\b"
            rf"|^\W*mein(?:e)?\s+(?:letzten?\s+)?{_ORDER_DE}\W*$",
            rf"\b(?:d[oó]nde|cu[aá]ndo|qu[eé]|estado|muestra\w*|ver)\b.{{0,30}}\b(?:mis?|nuestros?)\s+(?:[uú]ltimos?\s+)?{_ORDER_ES}\b"
            rf"|^\W*mis?\s+(?:[uú]ltimos?\s+)?{_ORDER_ES}\W*$",
            rf"\b(?:o[uù]|quand|quelles?|statut|état|suivi|montre\w*|voir)\b.{{0,30}}\b(?:ma|mon|mes|nos|notre)\s+(?:derni[eè]res?\s+)?{_ORDER_FR}\b"
            rf"|^\W*(?:ma|mon|mes)\s+(?:derni[eè]res?\s+)?{_ORDER_FR}\W*$",
        ),
    ),
    (
        "profile",
        _within(
            r"\bwas\s+(?:wei(?:ß|ss)t\s+du|wissen\s+sie)\s+über\s+mich\b|\bmeine\s+(?:gespeicherten\s+|persönlichen\s+)?daten\b.{0,15}(?:zeig|anzeig|\W*$)",
            r"\bqu[eé]\s+(?:sabes?|datos\s+tienen?)\s+(?:de|sobre)\s+m[ií]\b|^\W*(?:ver\s+)?mis\s+datos\W*$",
            r"\bque\s+(?:sais-tu|savez-vous)\s+(?:de|sur)\s+moi\b|^\W*(?:voir\s+)?mes\s+donn[eé]es(?:\s+personnelles)?\W*$",
        ),
    ),
)

_ASKS = re.compile(
    r"^\W*(?:und\s+|y\s+|et\s+)?(?:wie|was|wo|wann|warum|wieso|welche[rsmn]?|wer|wohin|woher|kann|können|darf|ist|sind|gibt|habe?n?|muss"
    r"|c[oó]mo|qu[eé]|d[oó]nde|cu[aá]ndo|cu[aá]l(?:es)?|cu[aá]nt[oa]s?|por\s+qu[eé]|qui[eé]n|puedo|puede[ns]?|hay|es\s+posible"
    r"|comment|que|qu['’]|quel(?:le)?s?|o[uù]|quand|combien|pourquoi|qui|est-ce|puis-je|peut-on|y\s+a-t-il)(?=\W|$)",
    re.IGNORECASE,
)


def wish_abroad(text: str) -> str | None:
    """The name of the intent; None where none of the patterns fits."""
    return next((name for name, pattern in _RULES if pattern.search(text)), None)


def asks_abroad(text: str) -> bool:
    """Whether it begins as a question does in one of these languages."""
    return _ASKS.search(text) is not None
