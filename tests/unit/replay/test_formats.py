"""Recorded conversations are read whole, in their order, from each format; what cannot be read is named."""

import json
from pathlib import Path

import pytest

from agent.replay.formats import LogUnreadable, read_log
from tests.data import shared


def test_careline_lines_are_read_with_their_tools(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    line = {
        "id": "c1",
        "customer": "kim",
        "messages": [
            {"role": "customer", "text": "where is it?"},
            {"role": "tool", "tool": "customer_info", "args": {}, "result": {"orders": 1}},
            {"role": "agent", "text": "On its way.", "at": "2026-11-01T10:00:00+00:00"},
            {"role": "customer", "text": "thanks"},
        ],
    }
    log.write_text(json.dumps(line) + "\n\n", encoding="utf-8")

    (conversation,) = read_log(log)
    first, second = conversation.turns()

    assert (conversation.id, conversation.customer) == ("c1", "kim")
    assert (first.text, first.reply, first.tools) == ("where is it?", "On its way.", ("customer_info",))
    assert (second.text, second.reply, second.tools) == ("thanks", "", ())


def test_a_broken_line_is_named_by_its_number(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"id": "c1", "messages": []}\n{"id": "c2", "messages": [{"role": "parrot"}]}\n', encoding="utf-8"
    )

    with pytest.raises(LogUnreadable, match=r"log\.jsonl, line 2: .*parrot"):
        read_log(log)


@pytest.mark.parametrize("content", ["{}", "[]", "[1, 2]", '{"turns": []}', "not json"])
def test_an_unknown_format_is_refused_by_name(tmp_path: Path, content: str) -> None:
    log = tmp_path / "log.json"
    log.write_text(content, encoding="utf-8")

    with pytest.raises(LogUnreadable, match=r"log\.json"):
        read_log(log)


def test_a_file_that_only_looks_like_a_format_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    log.write_text('[{"dialogue_id": "1", "turns": [{"speaker": "USER"}]}]', encoding="utf-8")

    with pytest.raises(LogUnreadable, match="schema_guided"):
        read_log(log)


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "conversations", "turns", "turns_with_tools"),
    [
        ("sgd_sample/dialogues_007.json", 68, 499, 134),
        ("dstc11_track5/logs.json", 2086, 9074, 1081),
        ("abcd/abcd_sample.json", 3, 31, 6),
    ],
)
def test_public_logs_are_read_whole(file: str, conversations: int, turns: int, turns_with_tools: int) -> None:
    log = read_log(shared(file))

    all_turns = [turn for conversation in log for turn in conversation.turns()]
    assert len(log) == conversations
    assert len({conversation.id for conversation in log}) == conversations
    assert len(all_turns) == turns
    assert sum(bool(turn.tools) for turn in all_turns) == turns_with_tools


@pytest.mark.data
def test_the_last_dstc_turn_has_its_answer_from_the_labels() -> None:
    turns = list(read_log(shared("dstc11_track5/logs.json"))[1].turns())

    assert turns[-1].reply.startswith("Yes, most of the guests at Hobsons House")
    assert turns[-1].tools == ("search_knowledge",)
