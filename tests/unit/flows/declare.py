"""
Flows of an invented shop for tests, declared as a company would.
"""

import textwrap
from pathlib import Path

from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.toolfacts import ToolFacts, standard_facts

RETURN = textwrap.dedent(
    r"""
    flow: return_item
    title: {en: returning an item, de: Rückgabe}
    triggers:
      phrases:
        en: ["(return|send back) * (lamp|item|order|it)", "can you take it back?"]
        de: [zurückgeben]
    slots:
      - name: order
        type: reference
        pattern: 'ORD-\d{4}'
        ask: {en: "Which order is it from?", de: "Aus welcher Bestellung ist es?"}
      - name: reason
        type: choice
        ask: {en: "Why do you return it?", de: "Warum geben Sie es zurück?"}
        choices:
          broken: {en: [Broken, damaged], de: [Kaputt, beschädigt]}
          unwanted: {en: [I do not want it, changed my mind], de: [Gefällt mir nicht]}
      - name: details
        type: text
        if: {reason: broken}
        ask: {en: "What is broken?", de: "Was ist kaputt?"}
        declined: nothing
      - name: delivered
        type: date
        days: past
        ask: {en: "When did it arrive?", de: "Wann kam es an?"}
    confirm:
      en: "Shall I register the return of {order} ({reason}), delivered on {delivered}?"
      de: "Soll ich die Rückgabe von {order} ({reason}), geliefert am {delivered}, anmelden?"
    call:
      tool: open_ticket
      arguments:
        subject: "Return of {order}: {reason}"
        description: ["Delivered on {delivered}: {details}", "Delivered on {delivered}."]
      offers: {otherwise: retry}
    done:
      en: "Your return number is {receipt}."
      de: "Ihre Rückgabenummer ist {receipt}."
    """
).lstrip()

NEWSLETTER = textwrap.dedent(
    """
    flow: newsletter
    title: newsletter
    triggers:
      phrases: ["(subscribe|sign me up) [to|for] [the|your] newsletter"]
    slots:
      - name: often
        type: choice
        ask: "Every week, or every month?"
        choices: {weekly: [Weekly, every week], monthly: [Monthly, every month]}
      - name: offers
        type: yes_no
        ask: "With special offers?"
    confirm: "Shall I sign you up, {often}?"
    call:
      tool: open_ticket
      arguments:
        subject: "Newsletter {often}"
        description: "Newsletter {often}, offers: {offers}"
      show: nothing
    done: "You are signed up: {receipt}."
    """
).lstrip()


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def library(folder: Path, *, tools: dict[str, ToolFacts] | None = None, **files: str) -> FlowLibrary:
    return FlowLibrary.load(written(folder, **files), tools={**standard_facts(), **(tools or {})})
