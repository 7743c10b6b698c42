"""
What a tool's call comes to, in English.
"""

from tools.wording.base import ANY_TOOL, Case, Wording

ENGLISH = Wording(
    errors={
        ANY_TOOL: {
            Case.RATE_LIMIT: (
                "A lot is being asked of me at the moment. Please give me a minute, then ask again."
            ),
            Case.TIMEOUT: (
                "That took longer than it should, so I stopped waiting. Please try once more in a moment."
            ),
            Case.DUPLICATE: "That has been done already, so I did not do it a second time.",
            Case.VALIDATION: (
                "Something I need for this is missing or unclear. Could you put it in other words?"
            ),
            Case.NOT_FOUND: "I looked, but there is nothing like that here.",
            Case.PERMISSION: (
                "I may not do that in this conversation. A member of our team can look into it with you."
            ),
            Case.INVALID_ADDRESS: "That address does not seem to work. Could you check it?",
            Case.UNKNOWN_TOOL: (
                "That is not something I can do. I can connect you with a member of our team instead."
            ),
            Case.OUR_AUTHENTICATION: (
                "One of our own systems did not let me in, which is for our team to mend and nothing you "
                "did. Please come back to this later, or let me pass you on to a person."
            ),
            Case.OUR_PERMISSION: (
                "I have not been given the rights that this needs. Our team can do it for you: shall I pass "
                "you on?"
            ),
            Case.OTHER: (
                "That did not work just now, for reasons on our side. Is there something else I can do for "
                "you?"
            ),
        },
        "search_knowledge": {
            Case.RATE_LIMIT: (
                "Many people are searching our help articles right now. Please ask again in a minute, "
                "or put your question a little differently."
            ),
            Case.TIMEOUT: (
                "Searching our help articles takes too long right now. A shorter question may work better."
            ),
            Case.VALIDATION: "I did not find a question to search for. What would you like to know?",
            Case.OTHER: (
                "I cannot search our help articles at the moment, and I will not guess. I can take a request "
                "for our team, or bring in a person."
            ),
        },
        "open_ticket": {
            Case.RATE_LIMIT: (
                "No further tickets can be opened for you right now. I can show you the ones you have, "
                "and you can add what is new to them."
            ),
            Case.TIMEOUT: (
                "Our ticket system did not answer in time. Shall I try again, or bring in a person?"
            ),
            Case.DUPLICATE: (
                "You have ticket {existing} about this already, and it is open. Shall I open another one all "
                "the same?"
            ),
            Case.SIMILAR: (
                "You have ticket {existing} about this already, and it is open. Shall I add this to it, or "
                "open another one?"
            ),
            Case.VALIDATION: (
                "To open a ticket I need a little more: one line that says what it is about, "
                "and a description of what happened."
            ),
            Case.NOT_FOUND: "I could not find whom to open this ticket for. Shall I bring in a person?",
            Case.PERMISSION: (
                "I may not open a ticket in this conversation. Our team can be reached directly."
            ),
            Case.INVALID_ADDRESS: (
                "That does not look like a complete e-mail address. Which address should our team answer to?"
            ),
            Case.CONTACT_MISSING: (
                "So that our team can answer you: which e-mail address should I put on the ticket?"
            ),
            Case.CONTACT_UNDELIVERABLE: (
                "Messages to the e-mail address that I have for you come back. Which other one should our team answer to?"
            ),
            Case.OTHER: "I was not able to open your ticket. Shall I try again, or bring in a person?",
        },
        "find_tickets": {
            Case.RATE_LIMIT: "Your tickets were asked for very often just now. Please try again in a minute.",
            Case.TIMEOUT: (
                "Our ticket system takes too long to answer. Please ask for your tickets again in a moment."
            ),
            Case.VALIDATION: (
                "I can list your own tickets: all of them, or the open, pending or solved ones. Which?"
            ),
            Case.NOT_LISTED: (
                "Your requests go to our team by e-mail, so I cannot see what became of them. Shall I bring in a "
                "person?"
            ),
            Case.NOT_FOUND: "I found no such ticket of yours.",
            Case.PERMISSION: (
                "I can only show the tickets of the person I am talking with, and I do not know who that is."
            ),
            Case.OTHER: (
                "I cannot look up your tickets at the moment. Please ask again later, or let me bring in a "
                "person."
            ),
        },
        "customer_info": {
            Case.RATE_LIMIT: "Your account was looked up very often just now. Please try again in a minute.",
            Case.TIMEOUT: "Looking up your account takes too long right now. Please ask again in a moment.",
            Case.VALIDATION: (
                "I can tell you about your own account and your own orders. Which of these do you need?"
            ),
            Case.NOT_FOUND: (
                "There is no account on file for you that I can see. Please check how you are signed in, "
                "or ask our team."
            ),
            Case.ORDER_NOT_FOUND: "I see no such order in your account. Could you check the order number?",
            Case.PERMISSION: (
                "I can only look into an account when its owner is signed in. Please sign in, or ask our "
                "team directly."
            ),
            Case.OTHER: "I cannot reach the customer accounts right now. Please ask me again later.",
        },
        "notify": {
            Case.RATE_LIMIT: "Enough messages have been sent to you for the moment. Please try again later.",
            Case.TIMEOUT: (
                "Sending the message took too long. What should I do: try again, or tell you everything here?"
            ),
            Case.VALIDATION: "A message needs a subject and a text. What should it say?",
            Case.NOT_FOUND: "I found no account of yours, so there is no address that I could write to.",
            Case.PERMISSION: (
                "I only send messages to customers who are signed in, at the address in their account. "
                "I can tell you everything here instead."
            ),
            Case.INVALID_ADDRESS: (
                "Nothing can be delivered to the address in your account. Please have a look at your "
                "contact details."
            ),
            Case.UNKNOWN_CHANNEL: "I cannot send messages that way. Shall I use the usual one?",
            Case.OTHER: "I cannot send messages at the moment. Is there another way in which I can help?",
        },
        "handoff": {
            Case.VALIDATION: "What should I tell the person who takes over?",
            Case.PERMISSION: "I cannot hand over this conversation. Our team can be reached directly.",
            Case.OTHER: (
                "I could not bring a person into this conversation just now. Shall I open a ticket instead?"
            ),
        },
    },
    results={
        "search_found": "I have searched our help articles.",
        "search_empty": "Our help articles say nothing about this.",
        "tickets_found": "Here are your tickets ({count}).",
        "tickets_none": "You have no such tickets.",
        "customer_found": "This is what we have on file for you.",
        "order_found": "This is your order.",
        "ticket_opened": "I have opened ticket {reference} for you. Your receipt number is {receipt}.",
        "ticket_queued": (
            "Our ticket system cannot be reached at the moment, so I have kept your request: its receipt "
            "number is {receipt}. The ticket will be opened as soon as the system is back, and you will "
            "read it here."
        ),
        "ticket_kept": (
            "I have kept your request: its receipt number is {receipt}. Our ticket system does not take it just now, so "
            "a member of our team looks at it. You will read here what becomes of it, and need not repeat it."
        ),
        "ticket_mailed": "Your request {receipt} has been handed to our team by e-mail.",
        "ticket_added_to": "I have added this to your ticket {reference}. Your receipt number is {receipt}.",
        "ticket_looked_up": (
            "Our ticket system did not say whether it took your request, so I am checking that. Your receipt "
            "number is {receipt}. You will read here what became of it, and need not repeat it."
        ),
        "ticket_unknown": (
            "I cannot tell whether your request has reached our team. So that it is not there twice, a person "
            "checks it under receipt number {receipt}; you need not repeat it."
        ),
        "ticket_opened_later": "Your request {receipt} is now ticket {reference}.",
        "ticket_given_up": (
            "I am sorry: your request {receipt} could not be turned into a ticket. Our team has been told, "
            "and you need not repeat it."
        ),
        "notification_sent": "I have sent you the message.",
        "notification_queued": (
            "Messages cannot be sent at the moment. Yours is kept under receipt number {receipt} and goes "
            "out as soon as that works again."
        ),
        "notification_waits": (
            "Your message is kept under receipt number {receipt} and goes out as soon as its turn comes."
        ),
        "notification_waits_for_day": (
            "So as not to disturb you now, your message is kept under receipt number {receipt}. It goes out "
            "when the quiet hours are over."
        ),
        "notification_sent_before": (
            "I sent you exactly this message a short while ago, so I have not sent it a second time."
        ),
        "notification_unknown": (
            "I cannot tell whether the message reached you. So that you do not get it twice, our team "
            "checks that under receipt number {receipt}."
        ),
        "notification_sent_later": "The message with receipt number {receipt} has been sent to you.",
        "notification_given_up": (
            "I am sorry: the message with receipt number {receipt} could not be sent. Please check the "
            "address in your account; our team has been told."
        ),
        "effect_done": "What you asked for under receipt number {receipt} has been done.",
        "effect_dropped": (
            "I am sorry: what you asked for under receipt number {receipt} could not be done. Our team has been told."
        ),
        "given_back": "Our team has given this conversation back to me, the automatic assistant. I answer you here again.",
        "handed_over": "I am passing this conversation to a member of our team, who will answer you here.",
    },
)
