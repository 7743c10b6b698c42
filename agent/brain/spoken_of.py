"""
What a flow can take from the conversation: what is being asked for, what it is about, what was answered last.
"""

import re

from agent.brain.about import points_back, subject_in
from agent.brain.flows.declared import Flow
from agent.brain.session import Offer, Session
from core.messages import MessageRole

_LONGEST_BODY = 5000
_ACCOUNT_WORDS = 6
"""So many words tell what happened; fewer only name it ("my lamp flickers")."""
_MARKER = re.compile(r" \[\d+\]")


def context_of(flow: Flow, session: Session, words: str, *, beside: str) -> dict[str, str]:
    """By its name in `flows.declared.CONTEXT`, as far as the flow takes it."""
    wanted = flow.context
    context = {"message": words or session.phrases.handoff_reason}
    if "about" in wanted:
        context["about"] = _about(session, words, beside)
    if "account" in wanted:
        said = subject_in(words) or beside
        context["account"] = said if len(said.split()) >= _ACCOUNT_WORDS else ""
    if "topic" in wanted:
        context["topic"] = str(session.notes.get("question") or session.phrases.notify_subject)
    if "problem" in wanted:
        context["problem"] = _problem(session)
    if "answer" in wanted:
        context["answer"] = _answer(session)
    return context


def _about(session: Session, words: str, beside: str) -> str:
    about = subject_in(words) or beside
    if not about and session.offer == Offer.TICKET:
        return str(session.notes.get("unanswered", ""))
    if not about and points_back(words):
        return _problem(session)
    return about


def _problem(session: Session) -> str:
    return str(session.notes.get("unanswered") or session.notes.get("question", ""))


def _answer(session: Session) -> str:
    """What was said last that is worth keeping: in this reply, else in the one before."""
    phrases = session.phrases
    says_nothing = {"", phrases.unknown, phrases.notify_nothing, phrases.offer, phrases.offer_person}
    paragraphs = _said_last(session).split("\n\n")
    worth = [each for each in paragraphs if each not in says_nothing]
    session.is_unanswered = phrases.unknown in paragraphs or phrases.notify_nothing in paragraphs
    if not worth:
        return ""
    sources = [citation.url for citation in session.draft.citations if citation.url]
    return "\n".join([_MARKER.sub("", "\n\n".join(worth)), *sources])[:_LONGEST_BODY]


def _said_last(session: Session) -> str:
    spoken = (message.text for message in reversed(session.turn.history) if message.role is MessageRole.AGENT)
    return session.draft.text or next(spoken, "")
