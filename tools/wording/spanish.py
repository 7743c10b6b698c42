"""
What a tool's call comes to, in Spanish.
"""

from tools.wording.base import ANY_TOOL, Case, Wording

SPANISH = Wording(
    errors={
        ANY_TOOL: {
            Case.RATE_LIMIT: (
                "Ahora mismo tengo muchas peticiones. Por favor, deme un minuto y vuelva a preguntar."
            ),
            Case.TIMEOUT: (
                "Ha tardado más de lo debido, así que he dejado de esperar. Por favor, inténtelo otra vez en un momento."
            ),
            Case.DUPLICATE: "Eso ya está hecho, así que no lo he hecho por segunda vez.",
            Case.VALIDATION: (
                "Falta algo que necesito para esto, o algo no está claro. ¿Puede decirlo con otras palabras?"
            ),
            Case.NOT_FOUND: "Lo he buscado, pero aquí no hay nada así.",
            Case.PERMISSION: (
                "No puedo hacer eso en esta conversación. Una persona de nuestro equipo puede verlo con usted."
            ),
            Case.INVALID_ADDRESS: "Parece que esa dirección no funciona. ¿Puede comprobarla?",
            Case.UNKNOWN_TOOL: "Eso no puedo hacerlo. En su lugar puedo pasarle con una persona de nuestro equipo.",
            Case.OUR_AUTHENTICATION: (
                "Uno de nuestros propios sistemas no me ha dejado entrar; lo tiene que arreglar nuestro equipo y no es por nada "
                "que usted haya hecho. Vuelva a ello más tarde, por favor, o permita que le pase con una persona."
            ),
            Case.OUR_PERMISSION: (
                "No me han dado los permisos que esto necesita. Nuestro equipo puede hacerlo por usted: ¿le paso con alguien?"
            ),
            Case.OTHER: (
                "Eso no ha funcionado ahora, por causas nuestras. ¿Hay algo más que pueda hacer por usted?"
            ),
        },
        "search_knowledge": {
            Case.RATE_LIMIT: (
                "Muchas personas están buscando ahora en nuestros artículos de ayuda. Por favor, vuelva a preguntar en un "
                "minuto, o plantee su pregunta de otra manera."
            ),
            Case.TIMEOUT: (
                "La búsqueda en nuestros artículos de ayuda tarda demasiado ahora. Una pregunta más corta puede funcionar mejor."
            ),
            Case.VALIDATION: "No he encontrado ninguna pregunta que buscar. ¿Qué le gustaría saber?",
            Case.OTHER: (
                "En este momento no puedo buscar en nuestros artículos de ayuda, y no voy a adivinar. Puedo tomar una solicitud "
                "para nuestro equipo o avisar a una persona."
            ),
        },
        "open_ticket": {
            Case.RATE_LIMIT: (
                "Ahora mismo no se pueden abrir más solicitudes para usted. Puedo mostrarle las que tiene, y puede añadirles lo "
                "nuevo."
            ),
            Case.TIMEOUT: (
                "Nuestro sistema de solicitudes no ha respondido a tiempo. ¿Lo intento otra vez o aviso a una persona?"
            ),
            Case.DUPLICATE: (
                "Ya tiene la solicitud {existing} sobre esto, y está abierta. ¿Abro otra de todos modos?"
            ),
            Case.SIMILAR: (
                "Ya tiene la solicitud {existing} sobre esto, y está abierta. ¿Añado esto a ella o abro otra?"
            ),
            Case.VALIDATION: (
                "Para abrir una solicitud necesito algo más: una línea que diga de qué se trata y una descripción de lo que ha "
                "pasado."
            ),
            Case.NOT_FOUND: ("No he podido encontrar para quién abrir esta solicitud. ¿Aviso a una persona?"),
            Case.PERMISSION: (
                "No puedo abrir una solicitud en esta conversación. Puede contactar directamente con nuestro equipo."
            ),
            Case.INVALID_ADDRESS: (
                "Eso no parece una dirección de correo completa. ¿A qué dirección debe responderle nuestro equipo?"
            ),
            Case.CONTACT_MISSING: (
                "Para que nuestro equipo pueda responderle: ¿qué dirección de correo pongo en la solicitud?"
            ),
            Case.CONTACT_UNDELIVERABLE: (
                "Los mensajes a la dirección de correo que tengo de usted vuelven sin entregarse. ¿A qué otra dirección puede "
                "responderle nuestro equipo?"
            ),
            Case.OTHER: "No he podido abrir su solicitud. ¿Lo intento otra vez o aviso a una persona?",
        },
        "find_tickets": {
            Case.RATE_LIMIT: (
                "Sus solicitudes se han consultado muchas veces hace un momento. Por favor, inténtelo otra vez en un minuto."
            ),
            Case.TIMEOUT: (
                "Nuestro sistema de solicitudes tarda demasiado en responder. Por favor, pregunte otra vez por sus solicitudes "
                "en un momento."
            ),
            Case.VALIDATION: (
                "Puedo mostrarle sus propias solicitudes: todas, o las abiertas, las pendientes o las resueltas. ¿Cuáles?"
            ),
            Case.NOT_LISTED: (
                "Sus solicitudes llegan a nuestro equipo por correo, así que no puedo ver qué ha sido de ellas. "
                "¿Aviso a una persona?"
            ),
            Case.NOT_FOUND: "No he encontrado ninguna solicitud suya así.",
            Case.PERMISSION: (
                "Solo puedo mostrar las solicitudes de la persona con la que hablo, y no sé quién es."
            ),
            Case.OTHER: (
                "En este momento no puedo consultar sus solicitudes. Por favor, pregunte más tarde, o permita que avise a una "
                "persona."
            ),
        },
        "customer_info": {
            Case.RATE_LIMIT: (
                "Su cuenta se ha consultado muchas veces hace un momento. Por favor, inténtelo otra vez en un minuto."
            ),
            Case.TIMEOUT: "Consultar su cuenta tarda demasiado ahora. Por favor, pregunte otra vez en un momento.",
            Case.VALIDATION: (
                "Puedo informarle sobre su propia cuenta y sus propios pedidos. ¿Qué necesita de ello?"
            ),
            Case.NOT_FOUND: (
                "No veo ninguna cuenta registrada a su nombre. Por favor, compruebe cómo ha iniciado sesión, o pregunte a "
                "nuestro equipo."
            ),
            Case.ORDER_NOT_FOUND: ("No veo ese pedido en su cuenta. ¿Puede comprobar el número de pedido?"),
            Case.PERMISSION: (
                "Solo puedo consultar una cuenta cuando su titular ha iniciado sesión. Por favor, inicie sesión, o pregunte "
                "directamente a nuestro equipo."
            ),
            Case.OTHER: (
                "Ahora mismo no puedo acceder a las cuentas de clientes. Por favor, pregúnteme más tarde."
            ),
        },
        "notify": {
            Case.RATE_LIMIT: (
                "Por el momento ya se le han enviado bastantes mensajes. Por favor, inténtelo otra vez más tarde."
            ),
            Case.TIMEOUT: (
                "El envío del mensaje ha tardado demasiado. ¿Qué hago: lo intento otra vez o se lo digo todo aquí?"
            ),
            Case.VALIDATION: "Un mensaje necesita un asunto y un texto. ¿Qué debe decir?",
            Case.NOT_FOUND: (
                "No he encontrado ninguna cuenta suya, así que no hay dirección a la que escribir."
            ),
            Case.PERMISSION: (
                "Solo envío mensajes a clientes que han iniciado sesión, a la dirección de su cuenta. En su lugar puedo "
                "decírselo todo aquí."
            ),
            Case.INVALID_ADDRESS: (
                "No se puede entregar nada en la dirección de su cuenta. Por favor, revise sus datos de contacto."
            ),
            Case.UNKNOWN_CHANNEL: "No puedo enviar mensajes por esa vía. ¿Uso la habitual?",
            Case.OTHER: ("En este momento no puedo enviar mensajes. ¿Puedo ayudarle de otra manera?"),
        },
        "handoff": {
            Case.VALIDATION: "¿Qué le digo a la persona que se hará cargo?",
            Case.PERMISSION: (
                "No puedo pasar esta conversación a nadie. Puede contactar directamente con nuestro equipo."
            ),
            Case.OTHER: (
                "No he podido traer ahora a una persona a esta conversación. ¿Abro una solicitud en su lugar?"
            ),
        },
    },
    results={
        "search_found": "He buscado en nuestros artículos de ayuda.",
        "search_empty": "Nuestros artículos de ayuda no dicen nada sobre esto.",
        "tickets_found": "Aquí están sus solicitudes ({count}).",
        "tickets_none": "No tiene solicitudes así.",
        "customer_found": "Esto es lo que tenemos registrado sobre usted.",
        "order_found": "Este es su pedido.",
        "ticket_opened": "He abierto la solicitud {reference} para usted. Su número de recibo es {receipt}.",
        "ticket_queued": (
            "En este momento no se puede acceder a nuestro sistema de solicitudes, así que he guardado la suya: su número de "
            "recibo es {receipt}. Se abrirá en cuanto el sistema vuelva, y lo leerá aquí."
        ),
        "ticket_kept": (
            "He guardado su petición: su número de recibo es {receipt}. Nuestro sistema de solicitudes no la acepta "
            "ahora mismo, así que la mirará una persona de nuestro equipo. Aquí leerá qué ha sido de ella, y no hace "
            "falta que la repita."
        ),
        "ticket_mailed": "Su petición {receipt} se ha entregado a nuestro equipo por correo electrónico.",
        "ticket_added_to": "He añadido esto a su solicitud {reference}. Su número de recibo es {receipt}.",
        "ticket_looked_up": (
            "Nuestro sistema de solicitudes no ha dicho si recibió la suya, así que lo estoy comprobando. Su número de recibo "
            "es {receipt}. Aquí leerá qué ha sido de ella, y no hace falta que la repita."
        ),
        "ticket_unknown": (
            "No puedo saber si su petición ha llegado a nuestro equipo. Para que no esté allí dos veces, una persona lo "
            "comprueba con el número de recibo {receipt}; no hace falta que la repita."
        ),
        "ticket_opened_later": "Su petición {receipt} es ahora la solicitud {reference}.",
        "ticket_given_up": (
            "Lo siento: su petición {receipt} no se ha podido convertir en una solicitud. Nuestro equipo está avisado, y no "
            "hace falta que la repita."
        ),
        "notification_sent": "Le he enviado el mensaje.",
        "notification_queued": (
            "En este momento no se pueden enviar mensajes. El suyo queda guardado con el número de recibo {receipt} y saldrá en "
            "cuanto vuelva a ser posible."
        ),
        "notification_waits": (
            "Su mensaje queda guardado con el número de recibo {receipt} y saldrá en cuanto llegue su turno."
        ),
        "notification_waits_for_day": (
            "Para no molestarle ahora, su mensaje queda guardado con el número de recibo {receipt}. Saldrá cuando terminen las "
            "horas de descanso."
        ),
        "notification_sent_before": (
            "Le envié exactamente este mensaje hace poco, así que no lo he enviado por segunda vez."
        ),
        "notification_unknown": (
            "No puedo saber si el mensaje le ha llegado. Para que no lo reciba dos veces, nuestro equipo lo comprueba con el "
            "número de recibo {receipt}."
        ),
        "notification_sent_later": "El mensaje con el número de recibo {receipt} se le ha enviado.",
        "notification_given_up": (
            "Lo siento: el mensaje con el número de recibo {receipt} no se ha podido enviar. Por favor, compruebe la dirección "
            "de su cuenta; nuestro equipo está avisado."
        ),
        "effect_done": "Lo que pidió con el número de recibo {receipt} está hecho.",
        "effect_dropped": (
            "Lo siento: lo que pidió con el número de recibo {receipt} no se ha podido hacer. Nuestro equipo está avisado."
        ),
        "given_back": (
            "Nuestro equipo me ha devuelto esta conversación a mí, el asistente automático. Vuelvo a responderle aquí."
        ),
        "handed_over": ("Paso esta conversación a una persona de nuestro equipo, que le responderá aquí."),
    },
)
