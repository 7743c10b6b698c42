"""
Measure the search of articles on a company's own questions.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from agent.cli.common import explained, fail, out, settings_or_exit
from core.identity import DEFAULT_TENANT
from core.settings import Settings
from tools.knowledge.measure import DEPTH, Figures, Measured, figures
from tools.knowledge.questions import Question, read_questions

_NAMES = {
    "ndcg_at_10": "nDCG@10",
    "hit_at_1": "hit@1",
    "hit_at_5": "hit@5",
    "recall_at_10": "recall@10",
    "answered_answerable": "answered, of those that articles answer",
    "refused_unanswerable": "“I do not know”, of those that none answers",
}


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            exists=True,
            show_default=False,
            help="Questions: .jsonl, .csv or .yaml files with question, article_ids, and answerable: false where none is.",
        ),
    ],
    tenant: Annotated[str, typer.Option(help="Whose articles are searched.")] = DEFAULT_TENANT,
    as_json: Annotated[bool, typer.Option("--json", help="Figures and questions, for scripts.")] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, show_default=False, help="Exit code 1 where nDCG@10 is less, e.g. 0.8."),
    ] = None,
) -> None:
    """
    Ask the search each question of a folder, and count how often the right articles come first.

    Says of every question what went wrong. The questions are asked as a customer would ask them, first in a conversation.

    Examples:

    careline knowledge eval questions/

    careline knowledge eval questions.csv --fail-under 0.85 --json
    """
    settings = settings_or_exit()
    with explained(
        "Check the questions, and that `careline ingest` has put the articles in; then run this again."
    ):
        measured = asyncio.run(_measure(settings, tenant, read_questions(folder)))
    whole = figures(measured)
    if as_json:
        rows = [
            {
                "where": each.question.where,
                "question": each.question.question,
                "article_ids": each.question.article_ids,
                "found": each.found,
                "is_answered": each.is_answered,
                "problem": each.problem,
            }
            for each in measured
        ]
        document = {"figures": whole, "questions": rows}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    else:
        _print(whole, measured)
    if fail_under is not None and (whole.ndcg_at_10 or 0.0) < fail_under:
        fail(
            f"nDCG@10 is {whole.ndcg_at_10 or 0.0:.3f}, less than {fail_under:g}",
            next_step="The questions above say what was found instead; an article's title counts most.",
        )


async def _measure(settings: Settings, tenant: str, questions: list[Question]) -> list[Measured]:
    from agent.bootstrap import open_searching
    from agent.brain.evidence import Verdict, judge

    measured = []
    async with open_searching(settings) as searching:
        for question in questions:
            result = await searching.search.search(tenant, question.question, limit=DEPTH)
            verdict = judge(question.question, result.passages).verdict
            measured.append(
                Measured(
                    question=question,
                    found=tuple(passage.article_id for passage in result.passages),
                    is_answered=verdict in (Verdict.ANSWERS, Verdict.PERHAPS),
                    missing=tuple(
                        [
                            each
                            for each in question.article_ids
                            if not await searching.has_article(tenant, each)
                        ]
                    ),
                )
            )
    return measured


def _print(whole: Figures, measured: list[Measured]) -> None:
    for each in measured:
        if each.problem is not None:
            out.print(f"{each.question.where}  {each.question.question}", soft_wrap=True, markup=False)
            out.print(f"    {each.problem}", soft_wrap=True, markup=False)
    table = Table(box=None, show_header=False)
    table.add_row("questions", f"{whole.questions}")
    for name, shown in _NAMES.items():
        value = getattr(whole, name)
        table.add_row(shown, "–" if value is None else f"{value:.3f}")
    out.print(table)
