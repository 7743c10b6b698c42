"""
Read help articles from a file or a folder; what cannot be read is named and the rest goes on.

Kinds of file: those of `tools.knowledge.formats`, and JSONL with one article a line (`id`, `title`, `body`;
optional `url`, `category`, `language`, `audience`, `expires`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.records import Article
from tools.knowledge.article import NO_TERMS, Failure, Terms, make_article
from tools.knowledge.chunk import plain
from tools.knowledge.formats import READERS, UnreadableError, clean, read_document

_LINES = ".jsonl"
_MARKDOWN = (".md", ".markdown")
_LARGEST_FILE_BYTES = 50_000_000


class _Row(msgspec.Struct):
    """One line of a JSONL file. Other fields are passed over."""

    id: str
    title: str
    body: str
    url: str | None = None
    category: str | None = None
    language: str | None = None
    audience: str | None = None
    expires: str | None = None


def read_articles(
    root: Path, *, source: str, prefix: str = "", terms: Terms = NO_TERMS
) -> Iterator[Article | Failure]:
    """
    Every article under `root` (a file, or a folder with all its folders), in a stable order.

    An article is called by its path below `root`, Markdown without its suffix, or by its JSONL line's `id`:
    it keeps that when its text changes, and when the root moves. `prefix` goes before it.
    """
    if not root.exists():
        yield Failure(str(root), "there is no such file or folder")
        return
    for path in _files(root):
        name = path.relative_to(root).as_posix() if path != root else path.name
        if path.suffix.lower() == _LINES:
            yield from _read_lines(path, name, source=source, prefix=prefix, terms=terms)
        else:
            yield _read_file(path, name, source=source, prefix=prefix, terms=terms)


def _files(root: Path) -> Iterator[Path]:
    """Known kinds only, hidden ones left out; a root that is a file is taken as it is."""
    if not root.is_dir():
        yield root
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in (*READERS, _LINES):
                yield Path(folder, name)


def _read_file(path: Path, name: str, *, source: str, prefix: str, terms: Terms) -> Article | Failure:
    relative = Path(name)
    called = relative.with_suffix("") if relative.suffix.lower() in _MARKDOWN else relative
    article_id = prefix + called.as_posix()
    if relative.suffix.lower() not in READERS:
        return Failure(name, f"only {', '.join((*READERS, _LINES))} are read", article_id)
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            return Failure(name, f"it is larger than {_LARGEST_FILE_BYTES // 1_000_000} MB", article_id)
        document = read_document(name, path.read_bytes())
        return make_article(
            article_id,
            title=document.title or relative.stem.replace("-", " ").replace("_", " "),
            body=document.body,
            url=document.fields.get("url"),
            category=document.fields.get("category") or relative.parent.name or None,
            source=source,
            terms=terms.said_by(document.fields),
        )
    except (UnreadableError, OSError) as exc:
        return Failure(name, str(exc), article_id)


def _read_lines(
    path: Path, name: str, *, source: str, prefix: str, terms: Terms
) -> Iterator[Article | Failure]:
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read_line(
                        line, f"{name}, line {number}", source=source, prefix=prefix, terms=terms
                    )
    except OSError as exc:
        yield Failure(name, str(exc))


def _read_line(line: bytes, name: str, *, source: str, prefix: str, terms: Terms) -> Article | Failure:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        return Failure(name, str(exc))
    body = clean(row.body)
    article_id = prefix + clean(row.id) if row.id.strip() else None
    if article_id is None or not plain(body):
        return Failure(name, "it has no id or no text", article_id)
    said = {"language": row.language, "audience": row.audience, "expires": row.expires}
    try:
        return make_article(
            article_id,
            title=clean(row.title),
            body=body,
            url=row.url,
            category=row.category,
            source=source,
            terms=terms.said_by({name: value for name, value in said.items() if value is not None}),
        )
    except UnreadableError as exc:
        return Failure(name, str(exc), article_id)
