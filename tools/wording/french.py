"""
What a tool's call comes to, in French.
"""

from tools.wording.base import ANY_TOOL, Case, Wording

FRENCH = Wording(
    errors={
        ANY_TOOL: {
            Case.RATE_LIMIT: (
                "On me demande beaucoup de choses en ce moment. Laissez-moi une minute, puis redemandez, s’il vous plaît."
            ),
            Case.TIMEOUT: (
                "Cela a pris plus de temps que prévu, j’ai donc cessé d’attendre. Veuillez réessayer dans un instant."
            ),
            Case.DUPLICATE: "C’est déjà fait, je ne l’ai donc pas fait une seconde fois.",
            Case.VALIDATION: (
                "Il me manque quelque chose pour cela, ou un point n’est pas clair. Pouvez-vous le dire autrement ?"
            ),
            Case.NOT_FOUND: "J’ai cherché, mais il n’y a rien de tel ici.",
            Case.PERMISSION: (
                "Je n’ai pas le droit de faire cela dans cette conversation. Un membre de notre équipe peut le voir avec vous."
            ),
            Case.INVALID_ADDRESS: "Cette adresse ne semble pas fonctionner. Pouvez-vous la vérifier ?",
            Case.UNKNOWN_TOOL: (
                "Cela, je ne peux pas le faire. Je peux en revanche vous mettre en relation avec un membre de notre équipe."
            ),
            Case.OUR_AUTHENTICATION: (
                "L’un de nos propres systèmes ne m’a pas laissé entrer ; c’est à notre équipe d’y remédier, vous n’y êtes pour "
                "rien. Revenez-y plus tard, s’il vous plaît, ou laissez-moi vous passer une personne."
            ),
            Case.OUR_PERMISSION: (
                "On ne m’a pas donné les droits nécessaires. Notre équipe peut le faire pour vous : dois-je vous la passer ?"
            ),
            Case.OTHER: (
                "Cela n’a pas fonctionné, pour des raisons qui viennent de chez nous. Puis-je faire autre chose pour vous ?"
            ),
        },
        "search_knowledge": {
            Case.RATE_LIMIT: (
                "Beaucoup de personnes cherchent en ce moment dans nos articles d’aide. Veuillez redemander dans une minute, "
                "ou posez votre question un peu autrement."
            ),
            Case.TIMEOUT: (
                "La recherche dans nos articles d’aide prend trop de temps. Une question plus courte peut mieux marcher."
            ),
            Case.VALIDATION: "Je n’ai pas trouvé de question à chercher. Que souhaitez-vous savoir ?",
            Case.OTHER: (
                "Je ne peux pas chercher dans nos articles d’aide pour le moment, et je ne vais pas deviner. Je peux prendre "
                "une demande pour notre équipe, ou faire venir une personne."
            ),
        },
        "open_ticket": {
            Case.RATE_LIMIT: (
                "Aucune autre demande ne peut être ouverte pour vous en ce moment. Je peux vous montrer celles que vous avez, "
                "et vous pouvez y ajouter ce qui est nouveau."
            ),
            Case.TIMEOUT: (
                "Notre système de demandes n’a pas répondu à temps. Dois-je réessayer, ou faire venir une personne ?"
            ),
            Case.DUPLICATE: (
                "Vous avez déjà la demande {existing} à ce sujet, et elle est ouverte. Dois-je quand même en ouvrir une autre ?"
            ),
            Case.SIMILAR: (
                "Vous avez déjà la demande {existing} à ce sujet, et elle est ouverte. Dois-je y ajouter ceci, ou en ouvrir une "
                "autre ?"
            ),
            Case.VALIDATION: (
                "Pour ouvrir une demande, il me faut un peu plus : une ligne qui dit de quoi il s’agit, et une description de "
                "ce qui s’est passé."
            ),
            Case.NOT_FOUND: (
                "Je n’ai pas trouvé pour qui ouvrir cette demande. Dois-je faire venir une personne ?"
            ),
            Case.PERMISSION: (
                "Je n’ai pas le droit d’ouvrir une demande dans cette conversation. Vous pouvez joindre notre équipe "
                "directement."
            ),
            Case.INVALID_ADDRESS: (
                "Cela ne ressemble pas à une adresse e-mail complète. À quelle adresse notre équipe doit-elle répondre ?"
            ),
            Case.CONTACT_MISSING: (
                "Pour que notre équipe puisse vous répondre : quelle adresse e-mail dois-je indiquer dans la demande ?"
            ),
            Case.CONTACT_UNDELIVERABLE: (
                "Les messages envoyés à l'adresse e-mail que j'ai pour vous nous reviennent. À quelle autre adresse notre "
                "équipe peut-elle vous répondre ?"
            ),
            Case.OTHER: (
                "Je n’ai pas pu ouvrir votre demande. Dois-je réessayer, ou faire venir une personne ?"
            ),
        },
        "find_tickets": {
            Case.RATE_LIMIT: (
                "Vos demandes ont été consultées très souvent à l’instant. Veuillez réessayer dans une minute."
            ),
            Case.TIMEOUT: (
                "Notre système de demandes met trop de temps à répondre. Veuillez redemander vos demandes dans un instant."
            ),
            Case.VALIDATION: (
                "Je peux afficher vos propres demandes : toutes, ou celles qui sont ouvertes, en attente ou résolues. "
                "Lesquelles ?"
            ),
            Case.NOT_LISTED: (
                "Vos demandes parviennent à notre équipe par e-mail, je ne peux donc pas voir ce qu’elles sont "
                "devenues. Dois-je faire venir une personne ?"
            ),
            Case.NOT_FOUND: "Je n’ai trouvé aucune demande de ce genre à votre nom.",
            Case.PERMISSION: (
                "Je ne peux montrer que les demandes de la personne avec qui je parle, et je ne sais pas qui c’est."
            ),
            Case.OTHER: (
                "Je ne peux pas consulter vos demandes pour le moment. Veuillez redemander plus tard, ou laissez-moi faire "
                "venir une personne."
            ),
        },
        "customer_info": {
            Case.RATE_LIMIT: (
                "Votre compte a été consulté très souvent à l’instant. Veuillez réessayer dans une minute."
            ),
            Case.TIMEOUT: (
                "La consultation de votre compte prend trop de temps. Veuillez redemander dans un instant."
            ),
            Case.VALIDATION: (
                "Je peux vous renseigner sur votre propre compte et vos propres commandes. De quoi avez-vous besoin ?"
            ),
            Case.NOT_FOUND: (
                "Je ne vois aucun compte à votre nom. Veuillez vérifier comment vous êtes connecté, ou demander à notre équipe."
            ),
            Case.ORDER_NOT_FOUND: (
                "Je ne vois pas cette commande dans votre compte. Pouvez-vous vérifier le numéro de commande ?"
            ),
            Case.PERMISSION: (
                "Je ne peux consulter un compte que si son titulaire est connecté. Veuillez vous connecter, ou demander "
                "directement à notre équipe."
            ),
            Case.OTHER: (
                "Je n’ai pas accès aux comptes clients pour le moment. Veuillez me redemander plus tard."
            ),
        },
        "notify": {
            Case.RATE_LIMIT: (
                "Assez de messages vous ont été envoyés pour le moment. Veuillez réessayer plus tard."
            ),
            Case.TIMEOUT: (
                "L’envoi du message a pris trop de temps. Que dois-je faire : réessayer, ou tout vous dire ici ?"
            ),
            Case.VALIDATION: "Un message a besoin d’un objet et d’un texte. Que doit-il dire ?",
            Case.NOT_FOUND: (
                "Je n’ai trouvé aucun compte à votre nom, il n’y a donc pas d’adresse à laquelle écrire."
            ),
            Case.PERMISSION: (
                "Je n’envoie de messages qu’aux clients connectés, à l’adresse de leur compte. Je peux en revanche tout vous "
                "dire ici."
            ),
            Case.INVALID_ADDRESS: (
                "Rien ne peut être remis à l’adresse de votre compte. Veuillez vérifier vos coordonnées."
            ),
            Case.UNKNOWN_CHANNEL: (
                "Je ne peux pas envoyer de messages par cette voie. Dois-je utiliser la voie habituelle ?"
            ),
            Case.OTHER: ("Je ne peux pas envoyer de messages pour le moment. Puis-je vous aider autrement ?"),
        },
        "handoff": {
            Case.VALIDATION: "Que dois-je dire à la personne qui prend le relais ?",
            Case.PERMISSION: (
                "Je ne peux pas transmettre cette conversation. Vous pouvez joindre notre équipe directement."
            ),
            Case.OTHER: (
                "Je n’ai pas pu faire venir une personne dans cette conversation. Dois-je plutôt ouvrir une demande ?"
            ),
        },
    },
    results={
        "search_found": "J’ai cherché dans nos articles d’aide.",
        "search_empty": "Nos articles d’aide ne disent rien à ce sujet.",
        "tickets_found": "Voici vos demandes ({count}).",
        "tickets_none": "Vous n’avez pas de demandes de ce genre.",
        "customer_found": "Voici ce que nous avons enregistré à votre sujet.",
        "order_found": "Voici votre commande.",
        "ticket_opened": (
            "J’ai ouvert la demande {reference} pour vous. Votre numéro de reçu est {receipt}."
        ),
        "ticket_queued": (
            "Notre système de demandes n’est pas joignable pour le moment, j’ai donc conservé la vôtre : son numéro de reçu est "
            "{receipt}. Elle sera ouverte dès que le système revient, et vous le lirez ici."
        ),
        "ticket_kept": (
            "J’ai conservé votre demande : son numéro de reçu est {receipt}. Notre système de demandes ne l’accepte pas "
            "pour le moment, une personne de notre équipe s’en occupe donc. Vous lirez ici ce qu’elle devient, et n’avez "
            "pas besoin de la répéter."
        ),
        "ticket_mailed": "Votre demande {receipt} a été remise à notre équipe par e-mail.",
        "ticket_added_to": (
            "J’ai ajouté ceci à votre demande {reference}. Votre numéro de reçu est {receipt}."
        ),
        "ticket_looked_up": (
            "Notre système de demandes n’a pas dit s’il a pris la vôtre, je le vérifie donc. Votre numéro de reçu est "
            "{receipt}. Vous lirez ici ce qu’elle est devenue, et n’avez pas besoin de la répéter."
        ),
        "ticket_unknown": (
            "Je ne peux pas savoir si votre demande est arrivée à notre équipe. Pour qu’elle n’y soit pas deux fois, une "
            "personne le vérifie sous le numéro de reçu {receipt} ; vous n’avez pas besoin de la répéter."
        ),
        "ticket_opened_later": "Votre demande {receipt} porte maintenant le numéro {reference}.",
        "ticket_given_up": (
            "Je suis désolé : votre demande {receipt} n’a pas pu être ouverte. Notre équipe est prévenue, et vous n’avez pas "
            "besoin de la répéter."
        ),
        "notification_sent": "Je vous ai envoyé le message.",
        "notification_queued": (
            "Les messages ne peuvent pas être envoyés pour le moment. Le vôtre est conservé sous le numéro de reçu {receipt} et "
            "partira dès que ce sera de nouveau possible."
        ),
        "notification_waits": (
            "Votre message est conservé sous le numéro de reçu {receipt} et partira dès que son tour viendra."
        ),
        "notification_waits_for_day": (
            "Pour ne pas vous déranger maintenant, votre message est conservé sous le numéro de reçu {receipt}. Il partira à la "
            "fin des heures calmes."
        ),
        "notification_sent_before": (
            "Je vous ai envoyé exactement ce message il y a peu, je ne l’ai donc pas envoyé une seconde fois."
        ),
        "notification_unknown": (
            "Je ne peux pas savoir si le message vous est parvenu. Pour que vous ne le receviez pas deux fois, notre équipe le "
            "vérifie sous le numéro de reçu {receipt}."
        ),
        "notification_sent_later": "Le message portant le numéro de reçu {receipt} vous a été envoyé.",
        "notification_given_up": (
            "Je suis désolé : le message portant le numéro de reçu {receipt} n’a pas pu être envoyé. Veuillez vérifier "
            "l’adresse de votre compte ; notre équipe est prévenue."
        ),
        "effect_done": "Ce que vous avez demandé sous le numéro de reçu {receipt} est fait.",
        "effect_dropped": (
            "Je suis désolé : ce que vous avez demandé sous le numéro de reçu {receipt} n’a pas pu être fait. Notre équipe est "
            "prévenue."
        ),
        "given_back": (
            "Notre équipe m’a rendu cette conversation, à moi, l’assistant automatique. Je vous réponds de nouveau ici."
        ),
        "handed_over": ("Je passe cette conversation à un membre de notre équipe, qui vous répondra ici."),
    },
)
