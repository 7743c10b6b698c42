"""`careline knowledge eval` and `gaps` on real articles and recorded conversations, as an operator runs them."""

import json
from pathlib import Path

import httpx
import pytest

from tests.careline_process import CarelineProcess, run_careline
from tests.service.test_commands import failing


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    help_folder = folder / "help"
    help_folder.mkdir()
    for name, text in (
        (
            "returns",
            "# Returning a kettle\n\nA kettle can be returned within 30 days if it was never filled.",
        ),
        ("delivery", "# Delivery times\n\nStandard delivery takes three working days."),
        ("limescale", "# Removing limescale\n\nBoil a kettle of vinegar and rinse it twice."),
    ):
        (help_folder / f"{name}.md").write_text(text, encoding="utf-8")
    run_careline("ingest", "help", folder=folder)
    return folder


def ids(shop: Path) -> dict[str, str]:
    """What ingestion called each article, by its title."""
    (shop / "probe.csv").write_text(
        "question,article_ids\nkettle delivery limescale,none\n", encoding="utf-8"
    )
    document = json.loads(run_careline("knowledge", "eval", "probe.csv", "--json", folder=shop))
    return {each.rpartition("/")[2].removesuffix(".md"): each for each in document["questions"][0]["found"]}


def test_eval_counts_names_what_went_wrong_and_fails_below_a_mark(shop: Path) -> None:
    known = ids(shop)
    (shop / "questions").mkdir()
    rows = [
        {"question": "how do I return a kettle?", "article_ids": [known["returns"]]},
        {"question": "removing limescale after delivery", "article_ids": [known["delivery"]]},
        {"question": "who won the football match in 1974", "answerable": False},
        {"question": "delivery", "article_ids": ["gone"]},
    ]
    (shop / "questions" / "all.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    document = json.loads(run_careline("knowledge", "eval", "questions", "--json", folder=shop))
    said = run_careline("knowledge", "eval", "questions", folder=shop)
    code, failed = failing("knowledge", "eval", "questions", "--fail-under", "0.9", folder=shop)

    problems = [each["problem"] for each in document["questions"]]
    assert problems[0] is None
    assert problems[1] == f"found in place 2, after {known['limescale']}"
    assert problems[2] is None
    assert problems[3] == "not among the articles: gone"
    assert document["figures"]["hit_at_1"] == pytest.approx(1 / 3)
    assert document["figures"]["refused_unanswerable"] == 1.0
    assert "nDCG@10" in said
    assert "removing limescale" in said
    assert (code, "less than 0.9" in failed) == (1, True)


def test_eval_says_what_is_wrong_with_a_question(shop: Path) -> None:
    (shop / "bad.csv").write_text("question,articles\nhow?,a\n", encoding="utf-8")

    code, said = failing("knowledge", "eval", "bad.csv", folder=shop)

    assert code == 1
    assert "bad.csv:2: no such field: articles" in said


def test_gaps_groups_what_was_not_answered_and_shows_nobodys_data(shop: Path) -> None:
    with CarelineProcess(shop) as service, httpx.Client(base_url=service.url, timeout=30) as client:
        for text in (
            "can you install my solar panels on the roof?",
            "who installs solar panels on a roof? mail me at anna@shop.example",
            "do you repair violins with broken strings?",
            "how do I return a kettle?",
            "hello",
        ):
            client.post("/v1/chat", json={"message": text}).raise_for_status()

    found = json.loads(run_careline("knowledge", "gaps", "--json", folder=shop))
    recent = run_careline("knowledge", "gaps", "--since", "2d", folder=shop)
    none = run_careline("knowledge", "gaps", "--since", "2099-01-01", folder=shop)
    code, said = failing("knowledge", "gaps", "--since", "yesterday", folder=shop)

    assert [gap["times"] for gap in found] == [2, 1]
    assert "solar panels" in found[0]["question"]
    assert "anna@" not in json.dumps(found)
    assert "2 ×" in recent
    assert "violins" in recent
    assert "Every question that was asked was answered" in none
    assert (code, "30d, 12h, 4w" in said) == (2, True)
