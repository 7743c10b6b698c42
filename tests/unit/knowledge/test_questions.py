"""
A company's questions are read from three kinds of files, and the figures count what they say.
"""

import math
from pathlib import Path

import pytest

from core.errors import InvalidInput
from tools.knowledge.measure import Measured, figures
from tools.knowledge.questions import Question, read_questions


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_every_file_of_a_folder_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.jsonl",
        '{"question": "one", "article_ids": ["a", "b"]}\n\n{"question": "two", "answerable": false}\n',
    )
    write(tmp_path, "b.csv", "question,article_ids,answerable\nthree,a;b,yes\nfour,,no\n")
    write(tmp_path, "c.yaml", "- question: five\n  article_id: 12\n- {question: six}\n")
    write(tmp_path, "notes.txt", "not a question")

    found = read_questions(tmp_path)

    assert [(each.question, each.article_ids, each.is_answerable) for each in found] == [
        ("one", ("a", "b"), True),
        ("two", (), False),
        ("three", ("a", "b"), True),
        ("four", (), False),
        ("five", ("12",), True),
        ("six", (), False),
    ]
    assert [each.where for each in found][:3] == ["a.jsonl:1", "a.jsonl:3", "b.csv:2"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", "{", "a.jsonl:1: is no JSON"),
        ("a.jsonl", "[]", "must have fields"),
        ("a.jsonl", '{"article_ids": ["a"]}', "a.jsonl:1: question must be a text"),
        ("a.jsonl", '{"question": "q", "artcle_ids": ["a"]}', "no such field: artcle_ids"),
        ("a.jsonl", '{"question": "q", "article_ids": [true, {}]}', "article_ids must be a list"),
        ("a.jsonl", '{"question": "q", "answerable": true}', "article_ids must name"),
        ("a.jsonl", '{"question": "q", "article_ids": ["a"], "answerable": false}', "answerable is false"),
        ("a.csv", "question,answerable\nq,perhaps\n", "answerable must be true or false"),
        ("a.yaml", "question: q", "must be a list"),
        ("a.yaml", "- [", "is no YAML"),
        ("a.jsonl", "", "no question"),
        ("a.txt", "q", "must end in"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_field(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_questions(write(tmp_path, name, text))


def test_a_folder_without_questions_says_which_files_it_looks_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\.jsonl, \.csv, \.yaml"):
        read_questions(tmp_path)


def measured(
    *found: str, wanted: tuple[str, ...], is_answered: bool = True, missing: tuple[str, ...] = ()
) -> Measured:
    question = Question("q", wanted, bool(wanted), "a.jsonl:1")
    return Measured(question=question, found=found, is_answered=is_answered, missing=missing)


def test_the_figures_are_counted_by_hand() -> None:
    rows = [
        measured("a", "b", wanted=("a",)),
        measured("x", "a", "y", wanted=("a", "b"), is_answered=False),
        measured("x", wanted=(), is_answered=False),
        measured("x", wanted=()),
    ]

    whole = figures(rows)

    second = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert whole.ndcg_at_10 == pytest.approx((1 + second) / 2)
    assert (whole.hit_at_1, whole.hit_at_5, whole.recall_at_10) == (0.5, 1.0, 0.75)
    assert (whole.answered_answerable, whole.refused_unanswerable) == (0.5, 0.5)


def test_a_kind_of_question_that_was_not_asked_has_no_figure() -> None:
    assert figures([measured("a", wanted=("a",))]).refused_unanswerable is None
    assert figures([measured("a", wanted=())]).ndcg_at_10 is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (measured("a", wanted=("a",)), None),
        (measured("x", "a", wanted=("a",)), "found in place 2, after x"),
        (measured("x", wanted=("a",)), "not found: a"),
        (measured("x", wanted=("a",), missing=("a",)), "not among the articles: a"),
        (measured("a", wanted=("a",), is_answered=False), "found first, but not answered"),
        (measured("a", wanted=("a", "b")), "also expected, not found: b"),
        (measured("x", wanted=()), "answered, though no article does"),
        (measured("x", wanted=(), is_answered=False), None),
    ],
)
def test_of_each_question_it_is_said_what_went_wrong(row: Measured, said: str | None) -> None:
    assert (row.problem is None) == (said is None)
    assert (row.problem or "").startswith(said or "")
