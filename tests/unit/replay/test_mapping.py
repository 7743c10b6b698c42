"""A mapping file makes a log of any form readable; a wrong one names line and field of all that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.replay.formats import BrokenLines, LogUnreadable, MappingUnusable, read_log, read_mapping
from agent.replay.log import RecordedMessage


def mapping(folder: Path, text: str) -> Path:
    file = folder / "mapping.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def lines(folder: Path, *values: Any) -> Path:
    log = folder / "log.ndjson"
    log.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return log


WHOLE = """\
format: jsonl
id: case.number
customer: /who/mail~1main
messages: case.events
role: by.kind
text: body
at: ts
tool: action.name
args: action.input
result: action.output
status: action.state
html: true
roles:
  customer: [enduser, 7]
  agent: automation
  tool: call
  skip: [note, audit]
"""


def test_conversations_with_their_messages_are_found_by_paths(tmp_path: Path) -> None:
    log = lines(
        tmp_path,
        {
            "case": {
                "number": 12,
                "events": [
                    {"by": {"kind": "EndUser"}, "body": "<p>Where is&nbsp;it?</p>", "ts": 1793527200000},
                    {"by": {"kind": "note"}, "body": "angry"},
                    {
                        "by": {"kind": "call"},
                        "action": {"name": "find", "input": '{"a": 1}', "output": [2], "state": "ok"},
                    },
                    {"by": {"kind": "automation"}, "body": "On its way."},
                    {"by": {"kind": 7}, "body": "Thanks"},
                ],
            },
            "who": {"mail/main": "kim@lee.example"},
        },
    )

    (conversation,) = read_log(log, read_mapping(mapping(tmp_path, WHOLE)))

    assert (conversation.id, conversation.customer) == ("12", "kim@lee.example")
    assert conversation.messages == (
        RecordedMessage(role="customer", text="Where is it?", at="2026-11-01T10:00:00+00:00"),
        RecordedMessage(role="tool", tool="find", args={"a": 1}, result=[2], status="ok"),
        RecordedMessage(role="agent", text="On its way."),
        RecordedMessage(role="customer", text="Thanks"),
    )


def test_messages_one_a_line_are_gathered_by_their_conversation(tmp_path: Path) -> None:
    given = mapping(tmp_path, "format: jsonl\nid: conv\nrole: from\ntext: msg\nlocale: lang\n")
    log = lines(
        tmp_path,
        {"conv": "a", "from": "user", "msg": "hi", "lang": "de"},
        {"conv": "a", "from": "bot", "msg": "hello", "lang": "en"},
        {"conv": "b", "from": "user", "msg": "hey"},
    )

    first, second = read_log(log, read_mapping(given))

    assert (first.id, first.locale, [message.text for message in first.messages]) == (
        "a",
        "de",
        ["hi", "hello"],
    )
    assert (second.id, second.locale) == ("b", None)


def test_columns_of_a_csv_may_have_any_name(tmp_path: Path) -> None:
    given = mapping(
        tmp_path, 'format: csv\nid: "Case / No."\nrole: Von\ntext: Was.gesagt\nroles: {customer: Kundin}\n'
    )
    log = tmp_path / "log.csv"
    log.write_text("Case / No.,Von,Was.gesagt\n5,Kundin,Hallo\n5,Bot,Guten Tag\n", encoding="utf-8")

    (conversation,) = read_log(log, read_mapping(given))

    assert conversation.id == "5"
    assert [message.role for message in conversation.messages] == ["customer", "agent"]


def test_speakers_of_a_text_are_named(tmp_path: Path) -> None:
    given = mapping(tmp_path, "format: txt\nroles:\n  customer: [Tom]\n  operator: Ada Lee\n")
    log = tmp_path / "chat.txt"
    log.write_text("Tom: hi\nAda Lee: hello\n", encoding="utf-8")

    (conversation,) = read_log(log, read_mapping(given))

    assert [message.role for message in conversation.messages] == ["customer", "operator"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"case": {"number": 1}}, "has no list at case.events (messages)"),
        ({"case": {"events": []}}, "has nothing at case.number (id)"),
        ({"case": {"number": [1], "events": []}}, "at case.number (id) stands no text"),
        ({"case": {"number": 1, "events": [{"by": {"kind": "ghost"}}]}}, "'ghost' at by.kind is in no role"),
        (
            {"case": {"number": 1, "events": [{"by": {"kind": "call"}, "action": {"input": "x"}}]}},
            "no JSON object",
        ),
        ({"case": {"number": 1, "events": [{"by": {"kind": "call"}, "ts": "soon"}]}}, "'soon' is no time"),
    ],
)
def test_a_record_of_another_form_is_named_and_the_others_go_on(
    tmp_path: Path, value: Any, told: str
) -> None:
    good = {"case": {"number": 2, "events": [{"by": {"kind": "call"}}]}}
    log = lines(tmp_path, value, good)
    broken = BrokenLines()

    read = list(read_log(log, read_mapping(mapping(tmp_path, WHOLE)), broken=broken))

    assert [each.id for each in read] == ["2"]
    assert broken.count == 1
    assert "line 1: " in broken.first[0]
    assert told in broken.first[0]
    with pytest.raises(LogUnreadable):
        list(read_log(log, read_mapping(mapping(tmp_path, WHOLE))))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("format: jsonl\nrole: r\n", ":1: text: is missing"),
        ("format: xml\nrole: r\ntext: t\n", ":1: format: must be one of csv, json, jsonl, txt"),
        ("format: jsonl\nrole: r\ntext: t\ntxt: u\n", ":4: txt: no such field; did you mean text?"),
        ("format: jsonl\nrole: r\ntext: a..b\n", ":3: text: 'a..b' is no path"),
        (
            "format: jsonl\nrole: r\ntext: t\nmessages: m\n",
            ":1: id: is missing: which field names the conversation",
        ),
        (
            "format: csv\nrole: r\ntext: t\nid: i\nmessages: m\n",
            ":5: messages: a row is a message; leave it out",
        ),
        ("format: jsonl\nrole: r\ntext: t\nroles:\n  buyer: x\n", ":5: roles.buyer: no such field"),
        (
            "format: jsonl\nrole: r\ntext: t\nroles: {agent: x, customer: x}\n",
            ":4: roles.customer: x is agent already",
        ),
        ("format: jsonl\nrole: r\ntext: t\nhtml: perhaps\n", ":4: html: must be true or false"),
        ("format: [\n", "is no YAML"),
        ("", "is empty"),
        ("- a\n", ":1: file: must be a mapping"),
    ],
)
def test_a_wrong_mapping_names_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(MappingUnusable) as raised:
        read_mapping(mapping(tmp_path, text))

    assert told in str(raised.value)
