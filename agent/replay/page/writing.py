"""
Write the report: the page with its style and script inside, and the conversations as packed blocks that the script unpacks.

Nothing recorded is ever markup: the summary is JSON whose angle brackets and ampersands are escaped, the conversations are
base64 of gzip, and the script sets text, never HTML. The page forbids itself, by its Content-Security-Policy, every network
request and every script and style but its own, which are named by their hashes.
"""

import gzip
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.changes import Change, changes, shortcomings
from agent.replay.gate import Judgement
from agent.replay.page.head import head
from agent.replay.page.shown import ShownConversation, chosen, overview, turn_details, turn_row
from agent.replay.pairing import PlacedTurns
from agent.replay.results import ReplayResults, TimedTurn

_TURNS_OF_A_BLOCK = 400
_HERE = Path(__file__).parent
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Replay report</title>
<style>{style}</style>
</head>
<body>
<noscript>The report shows recorded conversations with a script of its own; please let it run.</noscript>
<main id="report"></main>
"""


def write_report(
    file: Path, new: ReplayResults, base: ReplayResults | None, judgement: Judgement, *, most_turns: int
) -> None:
    """
    The conversations with the gravest changes are shown first, up to `most_turns` turns; plots and totals are of all.

    Memory holds one block of conversations at a time, and a few numbers a turn.
    """
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    seen = overview(new, base)
    shown = list(chosen(seen.conversations, most_turns=most_turns))
    top = head(new, base, judgement, seen)
    top["shown"] = {"conversations": len(shown), "turns": sum(each.rows for each in shown)}
    with file.open("w", encoding="utf-8", newline="\n") as out:
        out.write(_PAGE.format(policy=_policy(style, script), style=style))
        out.write(f'<script type="application/json" id="head">{_json_in_html(top)}</script>\n')
        for number, conversations in enumerate(_conversations(shown, new, base)):
            texts, details = zip(*conversations, strict=True)
            out.write(f'<script type="text/plain" class="texts">{_packed(texts)}</script>\n')
            out.write(f'<script type="text/plain" id="details-{number}">{_packed(details)}</script>\n')
        out.write(f"<script>{script}</script>\n</body>\n</html>\n")


def _policy(style: str, script: str) -> str:
    style_hash, script_hash = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _json_in_html(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _packed(value: object) -> str:
    return b64encode(gzip.compress(msgspec.json.encode(value), compresslevel=6, mtime=0)).decode()


def _conversations(
    shown: list[ShownConversation], new: ReplayResults, base: ReplayResults | None
) -> Iterator[list[tuple[dict[str, Any], list[dict[str, Any]]]]]:
    """Blocks of conversations: for each its texts, and its turns' details."""
    with ExitStack() as opened:
        now, before = (
            {folder.cell: opened.enter_context(PlacedTurns(folder)) for folder in results.folders}
            if results
            else {}
            for results in (new, base)
        )
        for block in _blocks(shown):
            yield [_conversation(each, now[each.cell], before.get(each.cell)) for each in block]


def _blocks(shown: Iterable[ShownConversation]) -> Iterator[list[ShownConversation]]:
    block: list[ShownConversation] = []
    turns = 0
    for each in shown:
        block.append(each)
        turns += each.turns
        if turns >= _TURNS_OF_A_BLOCK:
            yield block
            block, turns = [], 0
    if block:
        yield block


def _conversation(
    shown: ShownConversation, now: PlacedTurns, before: PlacedTurns | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rows, details = [], []
    for number in range(1, shown.turns + 1):
        new = now.find(shown.conversation, number)
        base = before.find(shown.conversation, number) if before is not None else None
        if new is None and base is None:
            continue
        rows.append(turn_row(new, base, _found(new, base, is_compared=before is not None)))
        details.append(
            {"now": turn_details(new) if new else {}, "before": turn_details(base) if base else {}}
        )
    return {"cell": shown.cell, "id": shown.conversation, "turns": rows}, details


def _found(new: TimedTurn | None, base: TimedTurn | None, *, is_compared: bool) -> tuple[Change, ...]:
    if is_compared:
        return changes(base, new)
    return shortcomings(new) if new is not None else ()
