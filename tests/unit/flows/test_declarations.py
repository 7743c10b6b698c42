"""Claims about the check of what a company declares: each error names the file, the line, the field and what to do."""

from pathlib import Path

import pytest

from agent.brain.flows.library import FlowLibrary, built_in_flows
from agent.brain.flows.located import FlowsUnusable, Problem
from agent.brain.flows.outline import outline
from agent.brain.flows.toolfacts import ToolFacts, standard_facts
from tests.unit.flows.declare import NEWSLETTER, RETURN, library, written

OUTSIDE = ToolFacts(
    name="shop__book",
    parameters={
        "properties": {"seats": {"type": "integer"}, "vip": {"type": "boolean"}, "row": {"enum": ["a", "b"]}},
        "required": ["seats"],
    },
    has_effect=True,
    asks_first=True,
)
AWAY = ToolFacts(name="shop__away", parameters=None, has_effect=True, asks_first=True)


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(FlowsUnusable) as raised:
        library(folder, tools={OUTSIDE.name: OUTSIDE, AWAY.name: AWAY}, mine=text)
    return raised.value.problems


def test_what_is_declared_well_is_taken(tmp_path: Path) -> None:
    flows = library(tmp_path, first=RETURN, second=NEWSLETTER)

    assert [flow.name for flow in flows.own] == ["return_item", "newsletter"]
    assert {"ticket", "handoff", "notification", "orders", "profile", "tickets"} <= {f.name for f in flows}


@pytest.mark.parametrize(
    ("before", "after", "field", "message"),
    [
        ("title: {", "titel: {", "titel", "did you mean title?"),
        ("flow: return_item", "flow: return item", "flow", "one word"),
        ("title: {en: returning an item, de: Rückgabe}\n", "", "title", "is missing"),
        ("de: Rückgabe", "german: Rückgabe", "title.german", "is no language"),
        (", de: Rückgabe", "", "title", "has no `de`"),
        ("type: reference", "type: referenz", "slots[1].type", "must be one of choice, date"),
        ("    pattern: 'ORD-\\d{4}'\n", "", "slots[1].pattern", "a reference needs it"),
        ("ORD-\\d{4}", "ORD-(", "slots[1].pattern", "is no regular expression"),
        ("ORD-\\d{4}", "(ORD)?", "slots[1].pattern", "matches the empty text"),
        ("days: past", "days: gone", "slots[4].days", "must be one of any, future, past"),
        ("days: past", "min: 3", "slots[4].min", "is only for type number, text"),
        ("name: delivered", "name: reason", "slots[4].name", "is the name of a slot above"),
        ("days: past", "declined: unknown", "slots[4].declined", "must be `nothing`"),
        ("name: delivered", "name: confirm", "slots[4].name", "has a meaning of its own"),
        ("if: {reason: broken}", "if: {delivered: broken}", "slots[3].if.delivered", "no slot above"),
        ("if: {reason: broken}", "if: {reason: torn}", "slots[3].if.reason", "torn is no value of reason"),
        ("if: {reason: broken}", "if: {order: x}", "slots[3].if.order", "neither a choice nor a yes_no"),
        ("[Kaputt, besch", "[Gefällt mir nicht, besch", "slots[2].choices", "stands for both"),
        ("tool: open_ticket", "tool: open_tickets", "call.tool", "must be one of customer_info"),
        ("subject: \"Return", "subjekt: \"Return", "call.arguments.subjekt", "no such argument; it has add_to"),
        ("    subject: \"Return of {order}: {reason}\"\n", "", "call.arguments.subject", "open_ticket needs it"),
        ("{order}: {reason}\"", "{ordr}\"", "call.arguments.subject", "{ordr} names nothing; known here are"),
        (", \"Delivered on {delivered}.\"]", "]", "call.arguments.description", "{details} may be unknown"),
        ("Shall I register the return of {order}", "Shall I {details}", "confirm.en", "may be unknown"),
        ("Shall I register the return of {order}", "Shall I {", "confirm.en", "a brace is alone"),
        ("Shall I register the return of {order}", "Shall I {order:>9}", "confirm.en", "is no gap"),
        ("otherwise: retry", "otherwise: again", "call.offers.otherwise", "must be one of person"),
        ("otherwise: retry", "fate_unknown: retry", "call.offers.fate_unknown", "done already"),
        ("triggers:\n", "triggers:\n  intents: [ticket_new]\n", "triggers.intents[1]", "must be one of handoff"),
        ("done:\n", "timeout_minutes: soon\ndone:\n", "timeout_minutes", "must be a number"),
        ("done:\n", "timeout_minutes: 0\ndone:\n", "timeout_minutes", "more than 0"),
        ("done:\n", "done:\n  fr: 3\n", "title", "has no `fr`"),
    ],
)  # fmt: skip
def test_a_slip_is_named_with_its_field_and_what_to_do(
    tmp_path: Path, before: str, after: str, field: str, message: str
) -> None:
    assert before in RETURN
    text = RETURN.replace(before, after, 1)

    found = problems(tmp_path, text)

    assert any(each.field == field and message in each.message for each in found), [str(e) for e in found]
    assert {each.file for each in found} == {str(tmp_path / "mine.yaml")}


def test_the_line_is_that_of_the_field(tmp_path: Path) -> None:
    text = RETURN.replace("days: past", "days: gone")

    (problem,) = problems(tmp_path, text)

    assert text.splitlines()[problem.line - 1].strip() == "days: gone"
    assert str(problem) == f"{tmp_path / 'mine.yaml'}:{problem.line}: {problem.field}: {problem.message}"


def test_all_that_is_wrong_is_told_in_one_go(tmp_path: Path) -> None:
    text = (
        RETURN.replace("days: past", "days: gone")
        .replace("title:", "titel:")
        .replace("otherwise", "other wise")
    )

    assert len(problems(tmp_path, text)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flow: [", "is no YAML"),
        ("", "is empty"),
        ("- a\n", "must be a mapping"),
        ("name: x\n", "no such field"),
        ("flow: a\nflow: b\n", "is given twice"),
        ("flow: &a\n  x: *a\n", "holds itself"),
        ("texts:\n  greting: Hi\n", "did you mean greeting?"),
        ("texts:\n  ticket_line: '{receipt}'\n", "{receipt} names nothing"),
    ],
)
def test_a_file_that_is_no_flow_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert message in problems(tmp_path, text)[0].message


def test_a_folder_that_is_not_there_and_an_empty_one_are_named(tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "none", "is not there"), (tmp_path, "holds no file")):
        with pytest.raises(FlowsUnusable, match=message):
            FlowLibrary.load(folder, tools=standard_facts())


def test_two_flows_of_one_name_or_intent_are_named(tmp_path: Path) -> None:
    one = RETURN.replace("triggers:\n", "triggers:\n  intents: [notify]\n")
    other = NEWSLETTER.replace("triggers:\n", "triggers:\n  intents: [notify]\n")

    with pytest.raises(FlowsUnusable) as same_intent:
        library(tmp_path, first=one, second=other)
    with pytest.raises(FlowsUnusable) as same_name:
        library(tmp_path, first=one, second=one)

    assert "notify begins return_item, too" in str(same_intent.value)
    assert "return_item is declared in" in str(same_name.value)


def test_intents_of_ones_own_can_be_named_where_there_are_some(tmp_path: Path) -> None:
    written(tmp_path, mine=RETURN.replace("triggers:\n", "triggers:\n  intents: [wants_return]\n"))

    flows = FlowLibrary.load(tmp_path, tools=standard_facts(), has_own_intents=True)

    assert flows.for_intent("wants_return") is flows.own[0]
    with pytest.raises(FlowsUnusable, match="must be one of handoff"):
        FlowLibrary.load(tmp_path, tools=standard_facts())


def test_a_tool_that_changes_something_wants_a_yes_or_a_word_why_not(tmp_path: Path) -> None:
    confirm = NEWSLETTER[NEWSLETTER.index("confirm:") : NEWSLETTER.index("call:")]

    (problem,) = problems(tmp_path, NEWSLETTER.replace(confirm, ""))
    written(tmp_path, mine=NEWSLETTER.replace(confirm, "confirm: false\n"))
    (flow,) = FlowLibrary.load(tmp_path, tools=standard_facts()).own

    assert problem.field == "confirm"
    assert "open_ticket changes something" in problem.message
    assert flow.confirm is None


BOOKING = """
flow: book
title: booking
triggers: {phrases: [book a seat]}
slots:
  - {name: seats, type: number, ask: "How many?"}
  - {name: vip, type: yes_no, ask: "VIP?"}
call:
  tool: shop__book
  arguments: {seats: "{seats}", vip: "{vip}", row: a}
"""


@pytest.mark.parametrize(
    ("before", "after", "field", "message"),
    [
        ("call:", "confirm: Sure?\ncall:", "confirm", "shop__book asks for the yes itself"),
        ("type: number", "type: date", "call.arguments.seats", "wants a integer here, and seats is a date"),
        ('"{vip}"', "maybe", "call.arguments.vip", "must be true or false"),
        ("row: a", "row: c", "call.arguments.row", "must be one of a, b"),
        ('seats: "{seats}"', "seats: many", "call.arguments.seats", "must be a number"),
    ],
)
def test_an_argument_fits_what_the_tool_declares(
    tmp_path: Path, before: str, after: str, field: str, message: str
) -> None:
    found = problems(tmp_path, BOOKING.replace(before, after))

    assert (found[0].field, message in found[0].message) == (field, True), found


def test_the_arguments_of_a_tool_that_cannot_be_asked_now_are_not_judged(tmp_path: Path) -> None:
    text = BOOKING.replace("shop__book", "shop__away").replace("row: a", "whatever: a")

    assert library(tmp_path, tools={AWAY.name: AWAY}, mine=text).own[0].name == "book"


def test_what_is_asked_for_and_used_nowhere_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, BOOKING.replace(', vip: "{vip}"', ""))

    assert (problem.field, "used nowhere" in problem.message) == ("vip", True)


def test_an_outline_shows_what_begins_it_what_it_asks_and_what_it_does(tmp_path: Path) -> None:
    (flow,) = library(tmp_path, mine=RETURN).own

    english, german = outline(flow, locale="en"), outline(flow, locale="de-AT")

    assert english.startswith("return_item: returning an item\n  begins with   “(return|send back)")
    assert "reason (choice of Broken, I do not want it)  “Why do you return it?”" in english
    assert "details (text; if reason is broken; may be declined)  “What is broken?”" in english
    assert "subject = “Return of {order}: {reason}”" in english
    assert "if it fails: offers retry" in english
    assert "is forgotten  after 60 minutes" in english
    assert "“Warum geben Sie es zurück?”" in german


def test_every_built_in_flow_has_an_outline_in_every_language() -> None:
    for flow in built_in_flows():
        for locale in ("en", "de", "es", "fr"):
            assert outline(flow, locale=locale).startswith(f"{flow.name}: ")
            assert flow.title.say(locale, built_in_flows().phrases(locale), {})


def test_own_texts_go_over_the_built_in_ones(tmp_path: Path) -> None:
    flows = library(
        tmp_path,
        mine='texts:\n  greeting: {en: "Ahoy!", de: "Moin!"}\n  offer_contact: "Write to {address}."\n'
        '  next: "And now {title}."\n',
    )

    assert (flows.phrases("en").greeting, flows.phrases("de-DE").greeting) == ("Ahoy!", "Moin!")
    assert flows.phrases("en").offer_contact.format(address="us") == "Write to us."
    assert flows.text("next", "en", title="it") == "And now it."
    assert flows.text("next", "de", title="it") == built_in_flows().text("next", "de", title="it")
    assert built_in_flows().phrases("en").greeting != "Ahoy!"
