"""
The local index of one tenant's articles: immutable files that are written once, checked, and then only read.

A folder holds the articles with their word index (`articles.sqlite`), the vectors of the chunks and of what each
article is about as a whole (`chunks.npy`, `articles.npy`), and `manifest.json`, which seals them.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import DependencyUnavailable
from core.records import Article
from tools.knowledge.chunk import Chunk, chunks, plain
from tools.knowledge.embed import DEPENDENCY as VECTORS
from tools.knowledge.embed import Vectors
from tools.knowledge.words import terms

DEPENDENCY = "knowledge"

MANIFEST = "manifest.json"
_ARTICLES = "articles.sqlite"
_CHUNK_VECTORS = "chunks.npy"
_ARTICLE_VECTORS = "articles.npy"
_FORMAT = 2  # counts up when old files can no longer be read, or would rank differently

_TITLE_WEIGHT = 2.0
_MOST_TERMS = 48  # of a long message the rarest words are asked for

_SCHEMA = """
CREATE TABLE articles (
    n INTEGER PRIMARY KEY, article_id TEXT NOT NULL UNIQUE, language TEXT NOT NULL,
    first_chunk INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE TABLE chunks (
    n INTEGER PRIMARY KEY, heading TEXT NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL,
    terms TEXT NOT NULL
);
CREATE VIRTUAL TABLE article_words
    USING fts5(title, body, content='', tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE chunk_words USING fts5(words, content='', tokenize='unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE article_terms USING fts5vocab(article_words, row);
"""


class Manifest(msgspec.Struct, frozen=True):
    """`version` is the store's when the articles were read; `embedder` is None where there are no vectors."""

    format: int
    version: int
    built_at: datetime
    articles: int
    chunks: int
    embedder: str | None
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class IndexedArticle:
    """An article with its chunks, numbered on through the whole index."""

    article: Article
    chunks: tuple[Chunk, ...]


def cut(articles: Sequence[Article]) -> list[IndexedArticle]:
    """What goes into an index. Nothing could be quoted of an article without a visible character."""
    return [IndexedArticle(article, pieces) for article in articles if (pieces := chunks(article.body))]


def title_to_embed(article: Article) -> str:
    """Empty for an article without a title, which has nothing to embed there."""
    return article.title.strip()


def text_to_embed(article: Article, chunk: Chunk) -> str:
    return "\n".join(part for part in (article.title, chunk.heading, plain(chunk.text)) if part)


@dataclass(frozen=True, slots=True)
class ArticleVectors:
    """A row for each chunk in order, and one for each article's title: zeros where it has none."""

    chunks: Vectors
    titles: Vectors


def write_index(
    folder: Path,
    articles: Sequence[IndexedArticle],
    vectors: ArticleVectors | None,
    *,
    version: int,
    embedder: str | None,
    built_at: datetime,
) -> Manifest:
    """Fill an empty folder. `vectors` is None for an index of words alone."""
    _write_articles(folder / _ARTICLES, articles)
    files = [_ARTICLES]
    count = sum(len(one.chunks) for one in articles)
    if vectors is not None:
        np.save(folder / _CHUNK_VECTORS, vectors.chunks.astype(np.float32))
        np.save(folder / _ARTICLE_VECTORS, _abouts(articles, vectors).astype(np.float32))
        files += [_CHUNK_VECTORS, _ARTICLE_VECTORS]
    manifest = Manifest(
        format=_FORMAT,
        version=version,
        built_at=built_at,
        articles=len(articles),
        chunks=count,
        embedder=embedder if vectors is not None else None,
        sha256={name: _sha256(folder / name) for name in files},
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """
    Raises:
        DependencyUnavailable: ("knowledge") missing, unreadable, or of another format.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as exc:
        raise DependencyUnavailable(DEPENDENCY, f"the index cannot be read: {exc}") from exc
    if manifest.format != _FORMAT:
        raise DependencyUnavailable(DEPENDENCY, f"the index has format {manifest.format}, not {_FORMAT}")
    return manifest


class Index:
    """
    An opened index; to be used by one thread at a time.

    Articles and chunks are named by their numbers, from 0. Every method raises
    DependencyUnavailable("knowledge") when the files let it down.
    """

    def __init__(self, folder: Path) -> None:
        """Checks every file against the manifest."""
        self.manifest = read_manifest(folder)
        try:
            for name, expected in self.manifest.sha256.items():
                if _sha256(folder / name) != expected:
                    raise DependencyUnavailable(DEPENDENCY, f"{name} of the index is damaged")
            self._sql = sqlite3.connect(
                f"{(folder / _ARTICLES).resolve().as_uri()}?mode=ro&immutable=1",
                uri=True,
                check_same_thread=False,
            )
            rows = self._rows("SELECT first_chunk, language FROM articles ORDER BY n")
            self._first_chunk: npt.NDArray[np.int64] = np.array([row[0] for row in rows], np.int64)
            self.languages: tuple[str, ...] = tuple(row[1] for row in rows)
            self._chunk_vectors: Vectors | None = None
            if self.manifest.embedder is not None:
                self._chunk_vectors = np.load(folder / _CHUNK_VECTORS, mmap_mode="r")
                self._article_vectors: Vectors = np.load(folder / _ARTICLE_VECTORS, mmap_mode="r")
        except (OSError, ValueError, sqlite3.Error) as exc:
            raise DependencyUnavailable(DEPENDENCY, f"the index cannot be opened: {exc}") from exc

    def close(self) -> None:
        self._sql.close()
        self._chunk_vectors = None

    def weights(self, words: Sequence[str], *, most: int = _MOST_TERMS) -> dict[str, float]:
        """
        The rarity (inverse document frequency) of each term; a term that no article has is the rarest.

        Of the terms that articles have, and of those that none has, `most` at most.
        """
        counted = {
            term: next(
                (row[0] for row in self._rows("SELECT doc FROM article_terms WHERE term = ?", term)), 0
            )
            for term in dict.fromkeys(words)
        }
        count = max(self.manifest.articles, 1)
        rarest = sorted(counted.items(), key=lambda item: item[1])
        known = [item for item in rarest if item[1]][:most]
        unknown = [item for item in rarest if not item[1]][:most]
        return {
            term: float(np.log(1 + (count - docs + 0.5) / (docs + 0.5))) for term, docs in unknown + known
        }

    def articles_by_words(self, words: Sequence[str], *, limit: int) -> dict[int, float]:
        """BM25, higher is better, of the best articles that have any of the terms."""
        if not words:
            return {}
        rows = self._rows(
            f"SELECT rowid, -bm25(article_words, {_TITLE_WEIGHT}, 1.0) AS score FROM article_words"  # noqa: S608
            " WHERE article_words MATCH ? ORDER BY score DESC LIMIT ?",
            _any_of(words),
            limit,
        )
        return dict(rows)

    def chunks_by_words(self, words: Sequence[str], *, limit: int) -> dict[int, float]:
        """As `articles_by_words`, for chunks, whose titles would all say the same."""
        if not words:
            return {}
        rows = self._rows(
            "SELECT rowid, -bm25(chunk_words) AS score FROM chunk_words"
            " WHERE chunk_words MATCH ? ORDER BY score DESC LIMIT ?",
            _any_of(words),
            limit,
        )
        return dict(rows)

    def cosines(self, vector: Vectors) -> tuple[Vectors, Vectors]:
        """Of the vector with each chunk; and with each article's mean and title, both together from −2 to 2."""
        if self._chunk_vectors is None:
            raise DependencyUnavailable(VECTORS, "the index was built without vectors")
        # Not `@`: the threads it wakes for so small a product doubled the CPU time of a search (23 ms, now 11).
        return np.vecdot(self._chunk_vectors, vector), np.vecdot(self._article_vectors, vector)

    def best_of_articles(self, of_chunks: Vectors) -> Vectors:
        """The largest value among each article's chunks."""
        best: Vectors = (
            np.maximum.reduceat(of_chunks, self._first_chunk) if len(self._first_chunk) else of_chunks
        )
        return best

    def chunk_range(self, article: int) -> range:
        ends = (
            self._first_chunk[article + 1] if article + 1 < len(self._first_chunk) else self.manifest.chunks
        )
        return range(int(self._first_chunk[article]), int(ends))

    def article(self, number: int) -> Article:
        rows = self._rows("SELECT record FROM articles WHERE n = ?", number)
        return _decoded(rows[0][0])

    def article_by_id(self, article_id: str) -> Article | None:
        rows = self._rows("SELECT record FROM articles WHERE article_id = ?", article_id)
        return _decoded(rows[0][0]) if rows else None

    def chunk(self, number: int) -> tuple[str, slice, frozenset[str]]:
        """Its heading, where it stands in the article's body, and its terms."""
        rows = self._rows("SELECT heading, start, length, terms FROM chunks WHERE n = ?", number)
        heading, start, length, words = rows[0]
        return heading, slice(start, start + length), frozenset(words.split())

    def check(self) -> None:
        """Really ask each part something."""
        self._rows("SELECT count(*) FROM article_words WHERE article_words MATCH '\"a\"'")
        if self._chunk_vectors is not None and len(self._chunk_vectors):
            self.cosines(np.array(self._chunk_vectors[0]))

    def _rows(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._sql.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            raise DependencyUnavailable(DEPENDENCY, f"the index cannot be asked: {exc}") from exc


def _abouts(articles: Sequence[IndexedArticle], vectors: ArticleVectors) -> Vectors:
    """
    The mean of an article's chunks, of length 1, plus its title; twice the mean where there is no title.

    A product with the sum is the sum of both cosines, so a search pays for one.
    """
    if not articles:
        return vectors.chunks
    first = np.cumsum([0, *(len(one.chunks) for one in articles)])[:-1]
    means = np.add.reduceat(vectors.chunks, first, axis=0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    has_title = vectors.titles.any(axis=1, keepdims=True)
    abouts: Vectors = means + np.where(has_title, vectors.titles, means)
    return abouts


def _write_articles(path: Path, articles: Sequence[IndexedArticle]) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript(_SCHEMA)
        first = 0
        for number, one in enumerate(articles):
            article = one.article
            sql.execute(
                "INSERT INTO articles VALUES (?, ?, ?, ?, ?)",
                (
                    number,
                    article.article_id,
                    article.language.split("-")[0].lower(),
                    first,
                    msgspec.msgpack.encode(article),
                ),
            )
            sql.execute(
                "INSERT INTO article_words (rowid, title, body) VALUES (?, ?, ?)",
                (number, " ".join(terms(article.title)), " ".join(terms(plain(article.body)))),
            )
            for position, chunk in enumerate(one.chunks, start=first):
                words = terms(f"{chunk.heading} {plain(chunk.text)}")
                sql.execute(
                    "INSERT INTO chunks VALUES (?, ?, ?, ?, ?)",
                    (position, chunk.heading, chunk.start, len(chunk.text), " ".join(dict.fromkeys(words))),
                )
                sql.execute(
                    "INSERT INTO chunk_words (rowid, words) VALUES (?, ?)", (position, " ".join(words))
                )
            first += len(one.chunks)
        for table in ("article_words", "chunk_words"):
            sql.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")  # noqa: S608
        sql.commit()


def _decoded(record: bytes) -> Article:
    return msgspec.msgpack.decode(record, type=Article)


def _any_of(words: Sequence[str]) -> str:
    """Terms are letters and digits alone, so nothing in them can end the quotation."""
    return " OR ".join(f'"{word}"' for word in words)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
