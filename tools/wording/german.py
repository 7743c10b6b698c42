"""
What a tool's call comes to, in German.
"""

from tools.wording.base import ANY_TOOL, Case, Wording

GERMAN = Wording(
    errors={
        ANY_TOOL: {
            Case.RATE_LIMIT: (
                "Von mir wird gerade sehr viel verlangt. Bitte geben Sie mir eine Minute und fragen Sie dann noch einmal."
            ),
            Case.TIMEOUT: (
                "Das hat länger gedauert, als es sollte, deshalb warte ich nicht weiter. Bitte versuchen Sie es gleich nochmals."
            ),
            Case.DUPLICATE: "Das ist bereits geschehen, deshalb habe ich es kein zweites Mal getan.",
            Case.VALIDATION: (
                "Mir fehlt dafür noch etwas, oder etwas ist unklar. Können Sie es mit anderen Worten sagen?"
            ),
            Case.NOT_FOUND: "Ich habe nachgesehen, aber so etwas gibt es hier nicht.",
            Case.PERMISSION: (
                "Das darf ich in dieser Unterhaltung nicht tun. Jemand aus unserem Team kann es mit Ihnen ansehen."
            ),
            Case.INVALID_ADDRESS: "Diese Adresse scheint nicht zu funktionieren. Können Sie sie bitte prüfen?",
            Case.UNKNOWN_TOOL: (
                "Das kann ich nicht tun. Stattdessen kann ich Sie mit jemandem aus unserem Team verbinden."
            ),
            Case.OUR_AUTHENTICATION: (
                "Eines unserer eigenen Systeme hat mich nicht eingelassen; das muss unser Team beheben, an Ihnen liegt es nicht. "
                "Bitte kommen Sie später darauf zurück, oder ich gebe Sie an einen Menschen weiter."
            ),
            Case.OUR_PERMISSION: (
                "Die Rechte, die das braucht, habe ich nicht bekommen. Unser Team kann es für Sie tun: Soll ich Sie weitergeben?"
            ),
            Case.OTHER: (
                "Das hat gerade nicht geklappt, und es liegt an uns. Kann ich sonst etwas für Sie tun?"
            ),
        },
        "search_knowledge": {
            Case.RATE_LIMIT: (
                "Gerade suchen viele Menschen in unseren Hilfeartikeln. Bitte fragen Sie in einer Minute noch einmal, oder "
                "stellen Sie Ihre Frage etwas anders."
            ),
            Case.TIMEOUT: (
                "Die Suche in unseren Hilfeartikeln dauert gerade zu lange. Mit einer kürzeren Frage geht es vielleicht besser."
            ),
            Case.VALIDATION: "Ich habe keine Frage gefunden, nach der ich suchen könnte. Was möchten Sie wissen?",
            Case.OTHER: (
                "Ich kann unsere Hilfeartikel zurzeit nicht durchsuchen, und raten werde ich nicht. Ich kann eine Anfrage an "
                "unser Team aufnehmen oder einen Menschen dazuholen."
            ),
        },
        "open_ticket": {
            Case.RATE_LIMIT: (
                "Für Sie können gerade keine weiteren Tickets eröffnet werden. Ich kann Ihnen die vorhandenen zeigen, und Sie "
                "können Neues darin ergänzen."
            ),
            Case.TIMEOUT: (
                "Unser Ticketsystem hat nicht rechtzeitig geantwortet. Soll ich es noch einmal versuchen oder einen Menschen "
                "dazuholen?"
            ),
            Case.DUPLICATE: (
                "Sie haben dazu schon das Ticket {existing}, und es ist offen. Soll ich trotzdem noch eines eröffnen?"
            ),
            Case.SIMILAR: (
                "Sie haben dazu schon das Ticket {existing}, und es ist offen. Soll ich dies dort ergänzen oder noch eines "
                "eröffnen?"
            ),
            Case.VALIDATION: (
                "Um ein Ticket zu eröffnen, brauche ich etwas mehr: eine Zeile, worum es geht, und eine Beschreibung dessen, "
                "was geschehen ist."
            ),
            Case.NOT_FOUND: (
                "Ich konnte nicht finden, für wen ich dieses Ticket eröffnen soll. Soll ich einen Menschen dazuholen?"
            ),
            Case.PERMISSION: (
                "In dieser Unterhaltung darf ich kein Ticket eröffnen. Unser Team ist direkt erreichbar."
            ),
            Case.INVALID_ADDRESS: (
                "Das sieht nicht nach einer vollständigen E-Mail-Adresse aus. An welche Adresse soll unser Team antworten?"
            ),
            Case.CONTACT_MISSING: (
                "Damit unser Team Ihnen antworten kann: Welche E-Mail-Adresse soll ich im Ticket angeben?"
            ),
            Case.CONTACT_UNDELIVERABLE: (
                "Nachrichten an die E-Mail-Adresse, die ich von Ihnen habe, kommen zurück. An welche andere soll unser Team "
                "antworten?"
            ),
            Case.OTHER: (
                "Ich konnte Ihr Ticket nicht eröffnen. Soll ich es noch einmal versuchen oder einen Menschen dazuholen?"
            ),
        },
        "find_tickets": {
            Case.RATE_LIMIT: (
                "Ihre Tickets wurden gerade sehr oft abgefragt. Bitte versuchen Sie es in einer Minute noch einmal."
            ),
            Case.TIMEOUT: (
                "Unser Ticketsystem braucht zu lange für eine Antwort. Bitte fragen Sie gleich noch einmal nach Ihren Tickets."
            ),
            Case.VALIDATION: (
                "Ich kann Ihre eigenen Tickets auflisten: alle, oder die offenen, wartenden oder gelösten. Welche möchten Sie?"
            ),
            Case.NOT_LISTED: (
                "Ihre Anfragen gehen per E-Mail an unser Team, deshalb kann ich nicht sehen, was daraus geworden "
                "ist. Soll ich einen Menschen dazuholen?"
            ),
            Case.NOT_FOUND: "Ein solches Ticket von Ihnen habe ich nicht gefunden.",
            Case.PERMISSION: (
                "Ich kann nur die Tickets der Person zeigen, mit der ich spreche, und ich weiß nicht, wer das ist."
            ),
            Case.OTHER: (
                "Ich kann Ihre Tickets zurzeit nicht nachsehen. Bitte fragen Sie später noch einmal, oder ich hole einen "
                "Menschen dazu."
            ),
        },
        "customer_info": {
            Case.RATE_LIMIT: (
                "Ihr Konto wurde gerade sehr oft abgefragt. Bitte versuchen Sie es in einer Minute noch einmal."
            ),
            Case.TIMEOUT: (
                "Ihr Konto nachzusehen, dauert gerade zu lange. Bitte fragen Sie gleich noch einmal."
            ),
            Case.VALIDATION: (
                "Ich kann Ihnen etwas zu Ihrem eigenen Konto und zu Ihren eigenen Bestellungen sagen. Was davon brauchen Sie?"
            ),
            Case.NOT_FOUND: (
                "Ich sehe kein Konto, das zu Ihnen gehört. Bitte prüfen Sie, wie Sie angemeldet sind, oder fragen Sie unser "
                "Team."
            ),
            Case.ORDER_NOT_FOUND: (
                "Eine solche Bestellung sehe ich in Ihrem Konto nicht. Können Sie bitte die Bestellnummer prüfen?"
            ),
            Case.PERMISSION: (
                "Ich kann nur in ein Konto sehen, wenn seine Inhaberin oder sein Inhaber angemeldet ist. Bitte melden Sie sich "
                "an, oder fragen Sie unser Team direkt."
            ),
            Case.OTHER: "Ich erreiche die Kundenkonten gerade nicht. Bitte fragen Sie mich später noch einmal.",
        },
        "notify": {
            Case.RATE_LIMIT: (
                "Ihnen wurden fürs Erste genug Nachrichten gesendet. Bitte versuchen Sie es später noch einmal."
            ),
            Case.TIMEOUT: (
                "Die Nachricht zu senden, hat zu lange gedauert. Soll ich es noch einmal versuchen oder Ihnen alles hier sagen?"
            ),
            Case.VALIDATION: "Eine Nachricht braucht einen Betreff und einen Text. Was soll darin stehen?",
            Case.NOT_FOUND: (
                "Ich habe kein Konto von Ihnen gefunden, also auch keine Adresse, an die ich schreiben könnte."
            ),
            Case.PERMISSION: (
                "Nachrichten sende ich nur an angemeldete Kundinnen und Kunden, an die Adresse in ihrem Konto. Stattdessen "
                "kann ich Ihnen alles hier sagen."
            ),
            Case.INVALID_ADDRESS: (
                "An die Adresse in Ihrem Konto lässt sich nichts zustellen. Bitte sehen Sie sich Ihre Kontaktdaten an."
            ),
            Case.UNKNOWN_CHANNEL: (
                "Auf diesem Weg kann ich keine Nachrichten senden. Soll ich den üblichen nehmen?"
            ),
            Case.OTHER: "Ich kann zurzeit keine Nachrichten senden. Kann ich Ihnen auf andere Weise helfen?",
        },
        "handoff": {
            Case.VALIDATION: "Was soll ich der Person sagen, die übernimmt?",
            Case.PERMISSION: (
                "Ich kann diese Unterhaltung nicht weitergeben. Unser Team ist direkt erreichbar."
            ),
            Case.OTHER: (
                "Ich konnte gerade niemanden in diese Unterhaltung holen. Soll ich stattdessen ein Ticket eröffnen?"
            ),
        },
    },
    results={
        "search_found": "Ich habe unsere Hilfeartikel durchsucht.",
        "search_empty": "Unsere Hilfeartikel sagen nichts dazu.",
        "tickets_found": "Hier sind Ihre Tickets ({count}).",
        "tickets_none": "Sie haben keine solchen Tickets.",
        "customer_found": "Das ist bei uns über Sie gespeichert.",
        "order_found": "Das ist Ihre Bestellung.",
        "ticket_opened": "Ich habe das Ticket {reference} für Sie eröffnet. Ihre Belegnummer ist {receipt}.",
        "ticket_queued": (
            "Unser Ticketsystem ist zurzeit nicht erreichbar, deshalb habe ich Ihre Anfrage aufgehoben: Ihre Belegnummer ist "
            "{receipt}. Das Ticket wird eröffnet, sobald das System wieder da ist, und Sie lesen es hier."
        ),
        "ticket_kept": (
            "Ich habe Ihre Anfrage aufgehoben: Ihre Belegnummer ist {receipt}. Unser Ticketsystem nimmt sie gerade nicht "
            "an, deshalb sieht sie sich jemand aus unserem Team an. Was daraus wird, lesen Sie hier; wiederholen müssen "
            "Sie nichts."
        ),
        "ticket_mailed": "Ihre Anfrage {receipt} wurde unserem Team per E-Mail übergeben.",
        "ticket_added_to": (
            "Ich habe dies in Ihrem Ticket {reference} ergänzt. Ihre Belegnummer ist {receipt}."
        ),
        "ticket_looked_up": (
            "Unser Ticketsystem hat nicht gesagt, ob es Ihre Anfrage angenommen hat; das prüfe ich gerade. Ihre Belegnummer "
            "ist {receipt}. Was daraus geworden ist, lesen Sie hier; wiederholen müssen Sie nichts."
        ),
        "ticket_unknown": (
            "Ich kann nicht sagen, ob Ihre Anfrage unser Team erreicht hat. Damit sie nicht zweimal dort ist, prüft es ein "
            "Mensch unter der Belegnummer {receipt}; wiederholen müssen Sie nichts."
        ),
        "ticket_opened_later": "Ihre Anfrage {receipt} ist jetzt das Ticket {reference}.",
        "ticket_given_up": (
            "Es tut mir leid: Aus Ihrer Anfrage {receipt} konnte kein Ticket werden. Unser Team weiß Bescheid, wiederholen "
            "müssen Sie nichts."
        ),
        "notification_sent": "Ich habe Ihnen die Nachricht gesendet.",
        "notification_queued": (
            "Zurzeit können keine Nachrichten gesendet werden. Ihre ist unter der Belegnummer {receipt} aufgehoben und geht "
            "hinaus, sobald es wieder geht."
        ),
        "notification_waits": (
            "Ihre Nachricht ist unter der Belegnummer {receipt} aufgehoben und geht hinaus, sobald sie an der Reihe ist."
        ),
        "notification_waits_for_day": (
            "Um Sie jetzt nicht zu stören, ist Ihre Nachricht unter der Belegnummer {receipt} aufgehoben. Sie geht hinaus, "
            "wenn die Ruhezeit vorbei ist."
        ),
        "notification_sent_before": (
            "Genau diese Nachricht habe ich Ihnen vor Kurzem gesendet, deshalb habe ich sie kein zweites Mal gesendet."
        ),
        "notification_unknown": (
            "Ich kann nicht sagen, ob die Nachricht Sie erreicht hat. Damit Sie sie nicht zweimal bekommen, prüft unser Team "
            "das unter der Belegnummer {receipt}."
        ),
        "notification_sent_later": "Die Nachricht mit der Belegnummer {receipt} wurde Ihnen gesendet.",
        "notification_given_up": (
            "Es tut mir leid: Die Nachricht mit der Belegnummer {receipt} konnte nicht gesendet werden. Bitte prüfen Sie die "
            "Adresse in Ihrem Konto; unser Team weiß Bescheid."
        ),
        "effect_done": "Worum Sie unter der Belegnummer {receipt} gebeten haben, ist erledigt.",
        "effect_dropped": (
            "Es tut mir leid: Worum Sie unter der Belegnummer {receipt} gebeten haben, konnte nicht geschehen. Unser Team weiß "
            "Bescheid."
        ),
        "given_back": (
            "Unser Team hat diese Unterhaltung an mich, den automatischen Assistenten, zurückgegeben. Hier antworte wieder ich."
        ),
        "handed_over": (
            "Ich gebe diese Unterhaltung an jemanden aus unserem Team weiter; die Antwort bekommen Sie hier."
        ),
    },
)
