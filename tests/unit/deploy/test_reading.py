"""All that is wrong with a file is named at once: where it stands, and what to do."""

from pathlib import Path

import pytest

from agent.deploy.declared import Address, Declaration
from agent.deploy.reading import FileUnusable, read_declaration
from tests.unit.deploy.files import SHOP, written


def read(folder: Path, text: str) -> Declaration:
    return read_declaration(written(folder, text))


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(FileUnusable) as failed:
        read(folder, text)
    return [f"{each.line}: {each.field}: {each.message}" for each in failed.value.problems]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clases: {}\n", "1: clases: no such field; did you mean classes?"),
        (
            "classes:\n  a:\n    descripton: x\n",
            "3: classes.a.descripton: no such field; did you mean description?",
        ),
        ("tools:\n  a: {}\n", "2: tools.a.json_schema: is missing"),
        ("prompts:\n  a: {}\n", "2: prompts.a.content: is missing, or content_file"),
        ("definitions:\n  a: {}\n", "2: definitions.a.class: is missing: the name of one of classes"),
        ("tools:\n  a: {json_schema: []}\n", "2: tools.a.json_schema: input should be a valid dictionary"),
        ("tools:\n  a: {json_schema: {}, risk_level: huge}\n", "input should be 'low', 'medium' or 'high'"),
        ("prompts:\n  a: {content: 12}\n", "put it in quotes if a text is meant"),
        ("prompts:\n  a: {content: x, status: deprecated}\n", "must be one of draft, published"),
        ("prompts:\n  a: {content: x, content_file: y}\n", "leave out one of the two"),
        ("prompts:\n  a: {content_file: nowhere.md}\n", "2: prompts.a.content_file: cannot be read"),
        ("classes:\n  a: {}\n  a: {}\n", "3: classes.a: is given twice"),
        ("classes:\n  a: {existing: true, description: x}\n", "an existing one is not touched"),
        ("providers:\n  a: {config: {api_key: '[withheld]'}}\n", "name a variable of the plane: env:NAME"),
        (
            "providers:\n  a: {api_base_url: 'ftp://x'}\n",
            "2: providers.a.api_base_url: string should match pattern",
        ),
        ("- a\n", "1: file: must be a mapping"),
        ("", "1: file: is empty"),
        ("a: [\n", "file: is no YAML"),
    ],
)
def test_a_slip_is_named_where_it_stands(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in each for each in problems(tmp_path, text))


def test_a_name_that_nothing_has_is_told_with_the_likely_one(tmp_path: Path) -> None:
    told = problems(
        tmp_path, SHOP.replace("prompt: tone", "prompt: tune").replace("open_ticket]", "close_account]")
    )

    assert [each.partition(": ")[2] for each in told] == [
        "definitions.agent.prompt: prompts has no tune; did you mean tone?",
        "definitions.agent.tools[2]: tools has no close_account; declare it there, or say `close_account: {existing: true}` "
        "where the plane has it already",
    ]


def test_entries_follow_those_that_they_name_and_have_the_planes_defaults(tmp_path: Path) -> None:
    declared = read(tmp_path, SHOP)

    seen: set[Address] = set()
    for each in declared.entries:
        assert set(each.named()) <= seen
        seen.add(each.address)
    agent = next(each for each in declared.entries if str(each.address) == "definitions.agent")
    assert agent.fields["execution_mode"] == "ephemeral"
    assert agent.references["tool_ids"] == (
        Address("tools", "search_knowledge"),
        Address("tools", "open_ticket"),
    )
    assert agent.status == "published"


def test_words_stay_words(tmp_path: Path) -> None:
    text = "tools:\n  no: {json_schema: {a: no, b: true, c: 1.5, d: 3, e: 2026-11-28, f: null, g: '1'}}\n"

    tool = read(tmp_path, text).entries[0]

    assert tool.address.name == "no"
    schema = {"a": "no", "b": True, "c": 1.5, "d": 3, "e": "2026-11-28", "f": None, "g": "1"}
    assert tool.fields["json_schema"] == schema


def test_a_prompt_may_be_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "tone.md").write_text("Be kind.\n", encoding="utf-8")

    prompt = read(tmp_path, "prompts:\n  tone: {content_file: tone.md}\n").entries[0]

    assert prompt.fields["content"] == "Be kind.\n"


def test_a_written_secret_is_warned_of_and_a_named_one_is_not(tmp_path: Path) -> None:
    written_out = "providers:\n  a: {config: {api_key: sk-1, inner: {token: sk-2}, max_tokens: 5}}\n"
    text = written_out + "  b: {config: {api_key: env:OUR_KEY}}\n"

    warnings = read(tmp_path, text).warnings

    assert [warning.partition(": a secret")[0].partition(":2: ")[2] for warning in warnings] == [
        "providers.a.config.api_key",
        "providers.a.config.inner.token",
    ]
    assert not any("sk-" in warning for warning in warnings)


def test_the_digest_is_of_what_is_declared_not_of_how_it_is_written(tmp_path: Path) -> None:
    one = read(tmp_path, "classes: {a: {description: x}}\n")
    same = read(tmp_path, "# a comment\nclasses:\n  a:\n    description: 'x'\n")
    other = read(tmp_path, "classes: {a: {description: y}}\n")

    assert one.digest == same.digest != other.digest
