"""
Chunks as servers really send them.
"""

import json
from typing import Any

import pytest

from agent.models.base import ModelFinished
from agent.models.wire import AnswerAssembler, read_chunk


def assemble(*deltas: dict[str, Any], finish: str | None = "stop") -> tuple[str, ModelFinished]:
    assembler = AnswerAssembler()
    text = ""
    for number, delta in enumerate(deltas, start=1):
        is_last = number == len(deltas)
        chunk = read_chunk(
            json.dumps({"choices": [{"delta": delta, "finish_reason": finish if is_last else None}]})
        )
        assert chunk is not None
        text += assembler.take(chunk)
    return text, assembler.finished("small")


def piece(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


def test_content_in_parts_is_joined() -> None:
    text, _ = assemble({"content": [{"type": "text", "text": "Good "}, {"type": "text", "text": "day."}]})

    assert text == "Good day."


def test_null_fields_are_no_content() -> None:
    assert assemble({"role": "assistant", "content": None, "tool_calls": None}) == (
        "",
        ModelFinished("stop", model="small"),
    )


def test_calls_without_an_index_begin_with_their_id() -> None:
    _, finished = assemble(
        piece(id="a", function={"name": "notify", "arguments": '{"x"'}),
        piece(function={"arguments": ": 1}"}),
        piece(id="b", function={"name": "handoff", "arguments": "{}"}),
    )

    assert [(call.id, call.name, call.arguments) for call in finished.tool_calls] == [
        ("a", "notify", '{"x": 1}'),
        ("b", "handoff", "{}"),
    ]


def test_a_name_that_is_repeated_with_every_piece_is_one_name() -> None:
    _, finished = assemble(
        piece(index=0, id="a", function={"name": "notify", "arguments": "{"}),
        piece(index=0, id="a", function={"name": "notify", "arguments": "}"}),
    )

    assert [(call.name, call.arguments) for call in finished.tool_calls] == [("notify", "{}")]


def test_arguments_that_come_as_an_object_become_text() -> None:
    _, finished = assemble(piece(index=0, id="a", function={"name": "notify", "arguments": {"x": 1}}))

    assert finished.tool_calls[0].arguments == '{"x":1}'


def test_calls_count_even_when_the_server_says_stop() -> None:
    _, finished = assemble(
        piece(index=0, id="a", function={"name": "notify", "arguments": "{}"}), finish="stop"
    )

    assert finished.reason == "tool_calls"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
    ],
)
def test_reasons_to_end_are_known_by_their_meaning(said: str, reason: str) -> None:
    _, finished = assemble({"content": "Hi"}, finish=said)

    assert finished.reason == reason


def test_an_answer_without_end_is_cut() -> None:
    _, finished = assemble({"content": "x" * 40_000}, finish=None)

    assert finished.reason == "length"


@pytest.mark.parametrize(
    "data", ["", "<html>", "[1]", '{"choices": 5}', '"text"', '{"error": ' + "[" * 100_000]
)
def test_what_is_no_chunk_is_none(data: str) -> None:
    assert read_chunk(data) is None
