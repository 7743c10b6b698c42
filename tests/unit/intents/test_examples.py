"""What a company may write in its files of examples, and what it is told about a slip."""

from pathlib import Path

import pytest

from agent.brain.own_intents import ServedBy, Service
from agent.intents.examples import check_trainable, read_examples
from core.errors import ValidationFailed


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_says_what_serves_an_intent_and_how_it_is_said(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "intents.yaml",
        "out_of_scope: [what is the weather]\n"
        "intents:\n"
        "  lost_card:\n"
        "    flow: report_card\n"
        "    examples: [I lost my card, my card is gone]\n"
        "  person:\n"
        "    handoff: true\n"
        "    label: talk to a human\n"
        "  only_known: [what is this]\n",
    )

    found = read_examples([file])

    lost, person, only_known = found.intents
    assert (lost.label, lost.service) == ("lost card", Service(ServedBy.FLOW, "report_card"))
    assert lost.examples == ["I lost my card", "my card is gone"]
    assert (person.label, person.service) == ("talk to a human", Service(ServedBy.HANDOFF))
    assert (only_known.service, only_known.examples) == (None, ["what is this"])
    assert found.others == ("what is the weather",)


def test_a_table_adds_examples_to_what_yaml_declares(tmp_path: Path) -> None:
    declared = written(
        tmp_path, "intents.yaml", "intents:\n  hours:\n    answer: From 9 to 5.\n    examples: [open when]\n"
    )
    table = written(
        tmp_path,
        "more.csv",
        'text,intent\n"when, please, do you open?",hours\nopen when,hours\nrain,out_of_scope\n',
    )

    found = read_examples([declared, table])

    (hours,) = found.intents
    assert hours.examples == ["open when", "when, please, do you open?"]
    assert hours.service == Service(ServedBy.ANSWER, "From 9 to 5.")
    assert found.others == ("rain",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("intents: [a]", "must have a key `intents`"),
        ("intents:\n  a: {flow: x, tool: y}", "intents.a: is served by flow and tool; keep one of them"),
        ("intents:\n  a: {flwo: x}", "intents.a.flwo: no such field"),
        (
            "intents:\n  a: [yes]",
            "intents.a.examples[1]: must be a text that is not empty; put it in quotation marks",
        ),
        ("intents:\n  a: {handoff: maybe}", "intents.a.handoff: must be true"),
        ("intents: {}\nexamples: []", "examples: no such key"),
        ("intents: [", "cannot be read"),
    ],
)
def test_a_slip_in_yaml_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, "intents.yaml", text)

    with pytest.raises(ValidationFailed) as failed:
        read_examples([file])

    assert said in str(failed.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,category\na,b\n", "no column intent"),
        ("text,intent\nhello,\n", "line 2, intent"),
        ("text,intent\n,greeting\n", "line 2, text"),
        ('text,intent\n"open quote,greeting\n', "cannot be read"),
    ],
)
def test_a_slip_in_a_table_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValidationFailed) as failed:
        read_examples([written(tmp_path, "examples.csv", text)])

    assert said in str(failed.value)


def test_what_cannot_be_trained_is_refused_before_it_is(tmp_path: Path) -> None:
    few = written(tmp_path, "few.yaml", "intents:\n  a: [one, two, three]\n  b: [four]\n")
    torn = written(tmp_path, "torn.yaml", "intents:\n  a: [one, two, three]\n  b: [One, four, five]\n")

    with pytest.raises(ValidationFailed, match=r"intents\.b\.examples: 1 found; give at least 3"):
        check_trainable(read_examples([few]))
    with pytest.raises(ValidationFailed, match="“One” is an example of a too"):
        check_trainable(read_examples([torn]))
