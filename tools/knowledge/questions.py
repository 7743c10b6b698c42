"""
Read a company's own questions about its articles, with which search is measured: JSONL, CSV and YAML files of a folder.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

# It ships no types, and its stubs are a package of their own for this one module.
import yaml

from core.errors import InvalidInput

_ENDINGS = (".jsonl", ".csv", ".yaml", ".yml")
_FIELDS = frozenset({"question", "article_ids", "article_id", "answerable"})
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Question(msgspec.Struct, frozen=True):
    """`article_ids` are those that answer it; none where nothing does."""

    question: str
    article_ids: tuple[str, ...]
    is_answerable: bool
    where: str


def read_questions(path: Path) -> list[Question]:
    """
    Of a file, or of every file in a folder, in the order of their names.

    Raises:
        InvalidInput: something cannot be read, or is no question; says where, and which field.
    """
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS)
    if not files:
        raise InvalidInput(f"{path}: no files there that end in {', '.join(_ENDINGS)}")
    questions = [question for file in files for question in _read(file)]
    if not questions:
        raise InvalidInput(f"{path}: no question in {', '.join(file.name for file in files)}")
    return questions


def _read(file: Path) -> Iterator[Question]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{file}: cannot be read: {exc}") from exc
    readers = {".jsonl": _jsonl, ".csv": _csv, ".yaml": _yaml, ".yml": _yaml}
    if file.suffix not in readers:
        raise InvalidInput(f"{file}: must end in {', '.join(_ENDINGS)}")
    for place, row in readers[file.suffix](text, str(file)):
        yield _question(row, f"{file.name}:{place}")


def _jsonl(text: str, name: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line)
            except msgspec.DecodeError as exc:
                raise InvalidInput(f"{name}:{number}: is no JSON: {exc}") from exc


def _csv(text: str, _: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text))
    for row in reader:
        yield reader.line_num, {name: value for name, value in row.items() if value}


def _yaml(text: str, name: str) -> Iterator[tuple[int, Any]]:
    try:
        rows = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise InvalidInput(f"{name}: is no YAML: {exc}") from exc
    if not isinstance(rows, list):
        raise InvalidInput(f"{name}: must be a list of questions")
    yield from enumerate(rows, start=1)


def _question(row: Any, where: str) -> Question:
    if not isinstance(row, Mapping):
        raise InvalidInput(f"{where}: must have fields: question, article_ids, answerable")
    if unknown := {str(name) for name in row} - _FIELDS:
        raise InvalidInput(
            f"{where}: no such field: {', '.join(sorted(unknown))}; there are {', '.join(sorted(_FIELDS))}"
        )
    asked = row.get("question")
    if not isinstance(asked, str) or not asked.strip():
        raise InvalidInput(f"{where}: question must be a text")
    ids = _ids(row.get("article_ids", row.get("article_id")), where)
    answerable = _truth(row.get("answerable"), where)
    if answerable is None:
        answerable = bool(ids)
    if answerable != bool(ids):
        raise InvalidInput(
            f"{where}: article_ids must name the articles that answer it"
            if answerable
            else f"{where}: answerable is false, but article_ids names articles that answer it"
        )
    return Question(asked.strip(), ids, answerable, where)


def _ids(value: Any, where: str) -> tuple[str, ...]:
    """A list, or ids between semicolons or commas."""
    if value is None:
        return ()
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = str(value).replace(",", ";").split(";")
    if not isinstance(value, list) or any(not isinstance(each, str | int) for each in value):
        raise InvalidInput(f"{where}: article_ids must be a list of ids, or ids between semicolons")
    return tuple(dict.fromkeys(text for each in value if (text := str(each).strip())))


def _truth(value: Any, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    truth = _TRUTHS.get(str(value).strip().lower())
    if truth is None:
        raise InvalidInput(f"{where}: answerable must be true or false")
    return truth
