"""Recorded conversations are read in their order from each format; what cannot be read is named by its line, the rest goes on."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.replay.formats import BrokenLines, LogUnreadable, read_log
from agent.replay.formats.tau2 import first_person
from agent.replay.log import RecordedConversation
from tests.data import shared
from tests.vendors.description import description

GOOD = {"id": "c1", "messages": [{"role": "customer", "text": "hi"}]}


def written(folder: Path, name: str, *lines: Any) -> Path:
    """One JSON value a line; bytes as they are."""
    path = folder / name
    raw = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines
    ]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


def said(conversation: RecordedConversation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation.messages]


def test_careline_lines_are_read_with_their_tools(tmp_path: Path) -> None:
    line = {
        "id": "c1",
        "customer": "kim",
        "messages": [
            {"role": "customer", "text": "where is it?"},
            {"role": "tool", "tool": "customer_info", "args": {}, "result": {"orders": 1}},
            {"role": "agent", "text": "On its way.", "at": "2026-11-01T10:00:00+00:00"},
            {"role": "system", "text": "The agent answers again."},
            {"role": "customer", "text": "thanks"},
        ],
    }
    log = written(tmp_path, "log.jsonl", line, b"")

    (conversation,) = read_log(log)
    first, second = conversation.turns()

    assert (conversation.id, conversation.customer) == ("c1", "kim")
    assert (first.text, first.reply, first.tools) == ("where is it?", "On its way.", ("customer_info",))
    assert (second.text, second.reply, second.tools) == ("thanks", "", ())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"id": "c2", "messages": [{"role": "parrot"}]}, "parrot"),
        ({"id": "c2"}, "messages"),
        (b'{"id": "c2", "messages": [', "is no JSON"),
        (b'{"id": "c2", "messages": [{"role": "customer", "text": "\xff"}]}', "no UTF-8"),
        (b'{"id": "c2", "messages": [{"role": "customer", "text": "\\ud800"}]}', "half a character"),
        ([1], "is not of this format|Expected"),
    ],
)
def test_a_broken_line_is_named_by_its_number_and_the_others_go_on(
    tmp_path: Path, line: Any, told: str
) -> None:
    log = written(tmp_path, "log.jsonl", GOOD, line, {**GOOD, "id": "c3"})
    broken = BrokenLines()

    read = [conversation.id for conversation in read_log(log, broken=broken)]

    assert read == ["c1", "c3"]
    assert broken.count == 1
    assert broken.first[0].startswith(f"{log}, line 2: ")
    with pytest.raises(LogUnreadable, match=rf"log\.jsonl, line 2: .*(?:{told})"):
        list(read_log(log))


def test_of_many_broken_lines_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    log = written(tmp_path, "log.jsonl", GOOD, *([b"{"] * 5000))
    broken = BrokenLines()

    assert len(list(read_log(log, broken=broken))) == 1
    assert broken.count == 5000
    assert len(broken.first) == 100


@pytest.mark.parametrize("content", ["{}", "[]", "[1, 2]", '{"turns": []}', "not json", "", "[", "{"])
def test_an_unknown_format_is_refused_by_name(tmp_path: Path, content: str) -> None:
    log = tmp_path / "log.json"
    log.write_text(content, encoding="utf-8")

    with pytest.raises(LogUnreadable, match=r"log\.json"):
        list(read_log(log))
    if content != "[":  # that is a broken record, and there are no others
        with pytest.raises(LogUnreadable, match=r"log\.json"):
            list(read_log(log, broken=BrokenLines()))


def test_a_file_that_only_looks_like_a_format_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    log.write_text('[{"dialogue_id": "1", "turns": [{"speaker": "USER"}]}]', encoding="utf-8")

    with pytest.raises(LogUnreadable, match=r"line 1: has no field 'frames' \(Schema-Guided Dialogue\)"):
        list(read_log(log))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("gone.jsonl", "gone.csv", "gone.txt"):
        with pytest.raises(LogUnreadable, match="gone"):
            list(read_log(tmp_path / name))


def test_an_array_is_read_across_lines_and_a_break_in_it_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    text = json.dumps([{**GOOD, "id": f"c{n}"} for n in range(3)], indent=1)
    log.write_text(text, encoding="utf-8")
    assert [each.id for each in read_log(log)] == ["c0", "c1", "c2"]

    log.write_text(text.replace('"c1",', '"c1"'), encoding="utf-8")
    broken = BrokenLines()
    assert [each.id for each in read_log(log, broken=broken)] == ["c0"]
    assert broken.count == 1
    assert "nor is what follows" in broken.first[0]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(st.lists(TEXTS, min_size=1, max_size=5), min_size=1, max_size=8),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_whatever_was_said_is_read_as_it_was(
    tmp_path: Path, texts: list[list[str]], indent: int | None, as_array: bool
) -> None:
    conversations = [
        {"id": f"c{n}", "messages": [{"role": "customer", "text": text} for text in each]}
        for n, each in enumerate(texts)
    ]
    log = tmp_path / "log.json"
    if as_array:
        log.write_text(json.dumps(conversations, indent=indent), encoding="utf-8")
    else:
        log.write_text(
            "\n".join(json.dumps(each, ensure_ascii=False) for each in conversations), encoding="utf-8"
        )

    assert [[text for _, text in said(each)] for each in read_log(log)] == texts


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "txt"])
def test_memory_does_not_grow_with_the_log(tmp_path: Path, kind: str) -> None:
    def peak(conversations: int) -> int:
        log = tmp_path / f"log{conversations}.{kind}"
        with log.open("w", encoding="utf-8") as file:
            for number in range(conversations):
                write_one(file, kind, number, last=number == conversations - 1)
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_log(log)) == conversations
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)  # what is loaded once
    small, large = peak(300), peak(3000)

    assert large < small + 600_000  # 3,000 conversations are 3 MB


def write_one(file: Any, kind: str, number: int, *, last: bool) -> None:
    words = "Where is my order? " * 50
    line = {"id": f"c{number}", "messages": [{"role": "customer", "text": words}]}
    if kind == "csv":
        file.write("" if number else "conversation_id,role,text\n")
        file.write(f"c{number},customer,{words}\n")
    elif kind == "txt":
        file.write(f"### c{number}\nCustomer: {words}\n")
    elif kind == "json":
        file.write(("[" if number == 0 else ",") + json.dumps(line) + ("]" if last else "\n"))
    else:
        file.write(json.dumps(line) + "\n")


# -- help desks -------------------------------------------------------------------------------------------------------


def ticket(**more: Any) -> dict[str, Any]:
    return {
        "id": 35436,
        "requester_id": 20978392,
        "subject": "Help",
        "via": {"channel": "web"},
        "comments": [
            {"id": 3, "type": "Comment", "author_id": 7, "body": "Mind the tone.", "public": False,
             "created_at": "2026-11-01T10:02:00Z"},
            {"id": 2, "type": "Comment", "author_id": 7,
             "html_body": "<div><p>Sorry!</p><p>It&nbsp;ships <b>today</b>.</p></div>",
             "body": "Sorry!\n\nIt ships today.", "public": True, "created_at": "2026-11-01T10:01:00Z"},
            {"id": 1, "type": "Comment", "author_id": 20978392, "plain_body": "Where is&nbsp;it?".replace("&nbsp;", "\u00a0"),
             "body": "Where is it?", "public": True, "created_at": "2026-11-01T10:00:00Z"},
            {"id": 4, "type": "Comment", "author_id": -1, "body": "This ticket was solved.", "public": True,
             "created_at": "2026-11-01T10:03:00Z"},
        ],
        **more,
    }  # fmt: skip


def test_zendesk_tickets_are_read_with_their_public_comments_in_order(tmp_path: Path) -> None:
    users = [{"id": 20978392, "email": "kim@lee.example", "role": "end-user", "locale": "de"}]
    lines = written(tmp_path, "tickets.jsonl", ticket(), {"ticket": ticket(id=2)})
    page = written(tmp_path, "page.json", {"tickets": [ticket(), ticket(id=2)], "users": users, "count": 2})
    comments = written(tmp_path, "35436.json", {"comments": ticket()["comments"][1:3], "count": 2})

    of_lines, of_page = list(read_log(lines)), list(read_log(page))
    (of_comments,) = read_log(comments)

    assert [each.id for each in of_lines] == [each.id for each in of_page] == ["zendesk-35436", "zendesk-2"]
    assert said(of_lines[0]) == [
        ("customer", "Where is it?"),
        ("operator", "Sorry!\n\nIt ships today."),
        ("agent", "This ticket was solved."),
    ]
    assert of_lines[0].messages[0].at == "2026-11-01T10:00:00+00:00"
    assert (of_lines[0].customer, of_lines[0].channel) == ("20978392", "web")
    assert (of_page[0].customer, of_page[0].locale) == ("kim@lee.example", "de")
    assert said(of_comments) == said(of_lines[0])[:2]


def test_a_ticket_without_its_comments_is_broken(tmp_path: Path) -> None:
    log = written(tmp_path, "tickets.jsonl", ticket(), ticket(comments=[]))

    with pytest.raises(LogUnreadable, match="line 2: has no comments: export the tickets with theirs"):
        list(read_log(log))


INTERCOM = {
    "type": "conversation",
    "id": "1295",
    "created_at": 1793527200,
    "source": {
        "type": "email",
        "id": "3",
        "delivered_as": "customer_initiated",
        "subject": "",
        "body": "<p>Where is it?</p>",
        "author": {"type": "user", "id": "5310d8e8", "email": "kim@lee.example"},
    },
    "contacts": {"type": "contact.list", "contacts": [{"type": "contact", "id": "5310d8e8", "external_id": "70"}]},
    "conversation_parts": {
        "type": "conversation_part.list",
        "conversation_parts": [
            {"type": "conversation_part", "id": "1", "part_type": "assignment", "body": None, "created_at": 1793527201,
             "author": {"type": "bot", "id": "1"}},
            {"type": "conversation_part", "id": "2", "part_type": "comment", "body": "<p>Let me look.</p>",
             "created_at": 1793527202, "author": {"type": "admin", "id": "9", "from_ai_agent": True}},
            {"type": "conversation_part", "id": "3", "part_type": "note", "body": "<p>Angry</p>", "created_at": 1793527203,
             "author": {"type": "admin", "id": "9"}},
            {"type": "conversation_part", "id": "4", "part_type": "comment", "body": "<p>It ships today.</p><p>Bye</p>",
             "created_at": 1793527204, "author": {"type": "admin", "id": "9"}},
        ],
        "total_count": 4,
    },
}  # fmt: skip


def test_intercom_conversations_are_read_without_the_teams_notes(tmp_path: Path) -> None:
    alone = written(tmp_path, "one.json", INTERCOM)
    listed = written(
        tmp_path, "list.jsonl", {"type": "conversation.list", "conversations": [INTERCOM], "total_count": 1}
    )

    (conversation,), (of_list,) = read_log(alone), read_log(listed)

    assert said(conversation) == [
        ("customer", "Where is it?"),
        ("agent", "Let me look."),
        ("operator", "It ships today.\n\nBye"),
    ]
    assert (conversation.id, conversation.customer, conversation.channel) == ("intercom-1295", "70", "email")
    assert conversation.messages[0].at == "2026-11-01T10:00:00+00:00"
    assert said(of_list) == said(conversation)


def chatwoot(number: int, kind: Any, text: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "content": text,
        "inbox_id": 1,
        "conversation_id": 19,
        "message_type": kind,
        "content_type": "text",
        "private": False,
        "created_at": 1793527200 + number,
        **more,
    }


CHATWOOT = [
    chatwoot(4, 1, "It ships today.", sender={"id": 1, "name": "Ada", "type": "user"}),
    chatwoot(1, 0, "Where is it?", sender={"id": 5, "name": "Kim", "type": "contact"}),
    chatwoot(2, 3, "Our hours are 9 to 5."),
    chatwoot(3, 2, "Conversation was assigned to Ada"),
    chatwoot(5, 1, "Rude.", private=True, sender={"id": 1, "type": "user"}),
    chatwoot(6, 1, None, sender={"id": 1, "type": "user"}),  # type: ignore[arg-type]  # an attachment alone has no content
    chatwoot(7, 1, "Anything else?", sender={"id": 2, "type": "agent_bot"}),
]


def test_chatwoot_conversations_are_read_by_direction_and_sender(tmp_path: Path) -> None:
    meta = {"sender": {"id": 5, "email": "kim@lee.example"}, "channel": "Channel::WebWidget"}
    whole = {"id": 19, "meta": meta, "messages": CHATWOOT, "inbox_id": 1, "status": "open"}
    lines = written(tmp_path, "one.jsonl", whole)
    page = written(tmp_path, "page.json", {"data": {"meta": {"all_count": 1}, "payload": [whole]}})
    messages = written(tmp_path, "messages.json", {"meta": {"contact": {"id": 5}}, "payload": CHATWOOT})

    for log in (lines, page, messages):
        (conversation,) = read_log(log)
        assert conversation.id == "chatwoot-19"
        assert said(conversation) == [
            ("customer", "Where is it?"),
            ("agent", "Our hours are 9 to 5."),
            ("operator", "It ships today."),
            ("agent", "Anything else?"),
        ]
    assert [each.customer for each in read_log(lines)] == ["kim@lee.example"]
    assert [each.customer for each in read_log(messages)] == ["5"]


# -- transcripts ------------------------------------------------------------------------------------------------------


def test_csv_rows_that_stand_together_are_a_conversation(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "\ufeffConversation_ID;Speaker;Message;Timestamp;Email\n"
        'c1;Visitor;"Where; is\nit?";2026-11-01 10:00:00;kim@lee.example\n'
        "c1;Bot;On its way.;2026-11-01 10:00:05;\n"
        "\n"
        "c2;Customer;Hello;1793527200;\n",
        encoding="utf-8",
    )

    first, second = read_log(log)

    assert (first.id, first.customer) == ("c1", "kim@lee.example")
    assert said(first) == [("customer", "Where; is\nit?"), ("agent", "On its way.")]
    assert first.messages[0].at == "2026-11-01T10:00:00"
    assert (second.id, second.messages[0].at) == ("c2", "2026-11-01T10:00:00+00:00")


def test_a_conversation_with_a_broken_row_is_left_out_as_a_whole(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_bytes(
        b"id,role,text\n"
        b"c1,customer,hi\nc1,parrot,hello\nc1,customer,more\n"
        b"c2,customer,fine\n"
        b"c3,customer,a,b\n"
        b"c4,customer,\xff\n"
        b"c5,customer,also fine\n"
        b"c2,customer,again\n"
    )
    broken = BrokenLines()

    assert [each.id for each in read_log(log, broken=broken)] == ["c2", "c5"]
    assert [told.partition("line ")[2] for told in broken.first] == [
        "3: nobody knows whether 'parrot' is the customer or the agent; name it in a mapping file",
        "6: has 4 fields, and the head 3",
        "7: holds bytes that are no UTF-8, or half a character",
        "9: conversation c2 goes on here: rows of one must stand together",
    ]


def test_a_csv_without_the_columns_it_needs_says_which(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("a,text\n1,hi\n", encoding="utf-8")

    with pytest.raises(LogUnreadable, match="no column for role among a, text; a mapping file can name them"):
        list(read_log(log))


def test_text_lines_are_told_apart_by_their_speakers(tmp_path: Path) -> None:
    log = tmp_path / "chat.txt"
    log.write_text(
        "[2026-11-01 10:00] Customer: Where is it?\n"
        "I ordered on Monday.\n"
        "  Note: indented lines go on, whatever they say\n"
        "\n"
        "Agent: On its way.\n"
        "----\n"
        "10:05 is no speaker\n"
        "Agent: x\n"
        "### order-7\n"
        "[10:05] User: Hello\n"
        "Human: Ada here.\n",
        encoding="utf-8",
    )
    broken = BrokenLines()

    first, second = read_log(log, broken=broken)

    assert said(first) == [
        ("customer", "Where is it?\nI ordered on Monday.\nNote: indented lines go on, whatever they say"),
        ("agent", "On its way."),
    ]
    assert (first.id, first.messages[0].at) == ("chat-1", "2026-11-01T10:00:00")
    assert (second.id, said(second)) == ("order-7", [("customer", "Hello"), ("operator", "Ada here.")])
    assert broken.first == [f"{log}, line 7: has no speaker: a line begins with `Customer: ` or `Agent: `"]


def test_a_speaker_whom_nobody_knows_spoils_the_conversation(tmp_path: Path) -> None:
    log = tmp_path / "chat.txt"
    log.write_text("Customer: hi\nTom: hello\n---\nCustomer: hi\n", encoding="utf-8")
    broken = BrokenLines()

    assert [each.id for each in read_log(log, broken=broken)] == ["chat-2"]
    assert "line 2: nobody knows whether 'Tom'" in broken.first[0]


# -- public data ------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "conversations", "turns", "turns_with_tools"),
    [
        ("sgd_sample/dialogues_007.json", 68, 499, 134),
        ("dstc11_track5/logs.json", 2086, 9074, 1081),
        ("dstc10_track2/logs.json", 263, 1376, 104),
        ("abcd/abcd_sample.json", 3, 31, 6),
        ("tau2_retail_airline/retail/tasks.json", 114, 228, 112),
        ("tau2_retail_airline/airline/tasks.json", 50, 100, 43),
        ("tau2_banking_knowledge/tasks.json", 97, 961, 97),
    ],
)
def test_public_logs_are_read_whole_and_without_a_broken_line(
    file: str, conversations: int, turns: int, turns_with_tools: int
) -> None:
    broken = BrokenLines()

    log = list(read_log(shared(file), broken=broken))

    all_turns = [turn for conversation in log for turn in conversation.turns()]
    assert (broken.count, broken.first) == (0, [])
    assert len(log) == conversations
    assert len({conversation.id for conversation in log}) == conversations
    assert all(turn.text.strip() and len(turn.text) <= 8000 for turn in all_turns)
    assert len(all_turns) == turns
    assert sum(bool(turn.tools) for turn in all_turns) == turns_with_tools


@pytest.mark.data
def test_the_last_dstc_turn_has_its_answer_from_the_labels() -> None:
    conversation = list(read_log(shared("dstc11_track5/logs.json")))[1]
    turns = list(conversation.turns())

    assert turns[-1].reply.startswith("Yes, most of the guests at Hobsons House")
    assert turns[-1].tools == ("search_knowledge",)


@pytest.mark.data
def test_the_customer_of_a_tau2_task_speaks_for_himself() -> None:
    retail = next(iter(read_log(shared("tau2_retail_airline/retail/tasks.json"))))
    banking = {each.id: each for each in read_log(shared("tau2_banking_knowledge/tasks.json"))}

    assert said(retail)[:2] == [
        (
            "customer",
            "I received my order #W2378156 and wish to exchange the mechanical keyboard for the same one but with clicky "
            "switches and the smart thermostat for one compatible with Google Home instead of Apple HomeKit.",
        ),
        ("customer", "I am Yusuf Rossi in zip code 19122."),
    ]
    assert [message.tool for message in retail.messages[2:]][:2] == [
        "find_user_id_by_name_zip",
        "get_order_details",
    ]
    scripted = banking["tau2-banking_knowledge-task_012"]
    assert said(scripted)[0][1].startswith("Hi, I'm traveling to Japan next month")


def test_the_second_person_becomes_the_first() -> None:
    assert first_person(
        "You want to return your lamp. you are sure it was sent to you, and you'd like your money back."
    ) == ("I want to return my lamp. I am sure it was sent to me, and I'd like my money back.")


@pytest.mark.data
def test_the_logs_of_help_desks_here_are_such_as_their_vendors_describe() -> None:
    intercom = description("intercom-2.16.yaml", "/conversations/{conversation_id}")
    zendesk = description("zendesk-oas-2.0.0.yaml", "/api/v2/tickets/{ticket_id}/comments")

    told = intercom.problem_of_answer("GET", "/conversations/1295", 200, json.dumps(INTERCOM).encode())
    comments = json.dumps({"comments": ticket()["comments"]}).encode()

    assert told is None
    assert zendesk.problem_of_answer("GET", "/api/v2/tickets/35436/comments", 200, comments) is None
