"""
Train a company's intents from its examples, and judge them on others.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent.cli.common import explained, out

if TYPE_CHECKING:
    from agent.intents.evaluation import Report
    from agent.intents.model import Manifest

app = typer.Typer(
    help="A company's own intents: trained from examples, read by the built-in brain.", no_args_is_help=True
)

_PHASES = {"embed": "Learning what they mean", "train": "Training", "hold out": "Judging what is held out"}
_MEND = "Mend what it names (docs/intents.md has an example), then run the same command again."
_WEAK_SHOWN = 15


@app.command()
def train(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", show_default=False, help="Examples: YAML, or CSV with columns text,intent."
        ),
    ],
    to: Annotated[
        Path, typer.Option("--out", help="Where the trained intents go; CARELINE_INTENTS names it.")
    ] = Path("intents.careline"),
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            show_default=False,
            help="Examples that take no part in training, for choosing the threshold; without it, folds are held out.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """
    Train intents from a company's examples.

    Needs the extra `train`; the service that reads the file does not.

    Examples:

    careline intents train intents.yaml

    careline intents train intents.yaml examples.csv --out intents.careline
    """
    with explained(_MEND):
        manifest = asyncio.run(_train(files, to, validation or []))
    if as_json:
        _print_json(manifest)
        return
    out.print(
        f"{len(manifest.names)} intents, {manifest.examples} examples, method: {manifest.method}."
        f" Threshold {manifest.threshold:.3f}.",
        soft_wrap=True,
    )
    out.print(
        "Held out: " + ", ".join(f"{name} {share:.1%}" for name, share in manifest.held_out.items()),
        soft_wrap=True,
        markup=False,
    )
    out.print(f"Written to {to}. Serve it with CARELINE_INTENTS={to}", soft_wrap=True, markup=False)


@app.command("eval")
def evaluate(
    model: Annotated[Path, typer.Argument(show_default=False, help="What `careline intents train` wrote.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            show_default=False,
            help="Texts with their intents: YAML, or CSV with text,intent.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """
    Judge trained intents on texts whose intents are known.

    The texts should be none of the examples. Those of `out_of_scope` belong to no intent.

    Examples:

    careline intents eval intents.careline test.csv

    careline intents eval intents.careline test.yaml --json
    """
    with explained(_MEND):
        report = asyncio.run(_evaluate(model, files))
    if as_json:
        _print_json(report)
    else:
        _print(report)


async def _train(files: list[Path], to: Path, validation: list[Path]) -> "Manifest":
    from agent.bootstrap import train_intents

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {phase: bar.add_task(text, total=None, visible=False) for phase, text in _PHASES.items()}

        def show(phase: str, done: int, whole: int) -> None:
            bar.update(tasks[phase], completed=done, total=whole or None, visible=True)

        return await train_intents(files, to, validation=validation, progress=show)


async def _evaluate(model: Path, files: list[Path]) -> "Report":
    from agent.bootstrap import evaluate_intents

    return await evaluate_intents(model, files)


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _print(report: "Report") -> None:
    out.print(
        f"{report.texts} texts: {report.accuracy:.1%} read rightly; {report.in_scope:.1%} rightly and above the"
        f" threshold of {report.threshold:.3f}.",
        soft_wrap=True,
    )
    if report.out_of_scope_recall is not None:
        out.print(
            f"{report.out_of_scope_texts} texts out of scope: {report.out_of_scope_recall:.1%} not read.",
            soft_wrap=True,
        )
    weakest = sorted(report.intents, key=lambda each: (each.recall, each.precision))[:_WEAK_SHOWN]
    out.print(f"\n{'intent, the weakest first':40} {'texts':>6} {'precision':>9} {'recall':>7}")
    for each in weakest:
        out.print(
            f"{each.intent:40} {each.examples:6} {each.precision:9.1%} {each.recall:7.1%}", markup=False
        )
    if report.confusions:
        out.print("\nmistaken most often")
    for mistaken in report.confusions:
        expected, read = mistaken.expected or "out of scope", mistaken.read or "nothing"
        out.print(
            f"{mistaken.times:4} × {expected} read as {read}: “{mistaken.example}”",
            soft_wrap=True,
            markup=False,
        )
