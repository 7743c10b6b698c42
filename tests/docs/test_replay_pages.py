"""The YAML of the replay's pages is read as it stands there, and every rule and field has its line."""

import re
from pathlib import Path
from typing import Any

from agent.replay.expectations import read_expectations
from agent.replay.faults import FaultKind, read_plan
from agent.replay.formats import KNOWN, read_mapping
from agent.replay.formats.mapping import Mapped
from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.rows import ReplayedTurn
from agent.replay.rules import Rule

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def yaml_of(name: str, folder: Path) -> Path:
    (block,) = re.findall(r"```yaml\n(.*?)```", page(name), re.DOTALL)
    file = folder / "block.yaml"
    file.write_text(block, encoding="utf-8")
    return file


class _AnyEmbedder:
    async def embed(self, texts: Any) -> Any:
        raise NotImplementedError


def test_the_mapping_of_the_page_is_read(tmp_path: Path) -> None:
    mapped = read_mapping(yaml_of("recordings.md", tmp_path))

    assert isinstance(mapped, Mapped)
    assert (mapped.kind, mapped.messages, mapped.is_html) == ("jsonl", "case.events", True)
    assert mapped.roles["enduser"] == "customer"


def test_the_expectations_of_the_page_are_read(tmp_path: Path) -> None:
    expectations = read_expectations(yaml_of("replay-checks.md", tmp_path), embedder=_AnyEmbedder())

    assert expectations.conversations == {"conv_k2m4"}


def test_the_fault_plan_of_the_page_is_read(tmp_path: Path) -> None:
    known = ("knowledge", "tickets", "customers", "model", "sql")

    planned = read_plan(yaml_of("replay.md", tmp_path), known=known)

    assert {fault.dependency for fault in planned} == set(known)


def test_every_kind_of_fault_and_field_of_a_row_is_documented() -> None:
    told = page("replay.md")

    assert [kind for kind in FaultKind if f"`{kind}" not in told] == []
    assert [field for field in ReplayedTurn.__struct_fields__ if f"`{field}`" not in told] == []


def test_every_rule_is_documented() -> None:
    assert [rule for rule in Rule if f"| `{rule}` |" not in page("replay-checks.md")] == []


def test_every_field_of_a_log_line_is_documented() -> None:
    fields = {*RecordedConversation.__struct_fields__, *RecordedMessage.__struct_fields__}

    assert [field for field in sorted(fields) if f"`{field}`" not in page("recordings.md")] == []


def test_every_format_is_documented() -> None:
    told = page("recordings.md")

    assert [name for name in KNOWN if name.split()[0] not in told] == []
