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
from core.identity import Audience
from core.languages import language_of
from core.records import Article
from tools.knowledge.chunk import Chunk, chunks, plain
from tools.knowledge.embed import DEPENDENCY as VECTORS
from tools.knowledge.embed import Vectors
from tools.knowledge.subjects import Subjects, name_in
from tools.knowledge.words import terms

DEPENDENCY = "knowledge"

MANIFEST = "manifest.json"
ARTICLES = "articles.sqlite"
CHUNK_VECTORS = "chunks.npy"
ARTICLE_VECTORS = "articles.npy"
_FORMAT = 4  # counts up when old files can no longer be read, or would rank differently

_TITLE_WEIGHT = 2.0
_MOST_TERMS = 48  # of a long message the rarest words are asked for

_SCHEMA = """
CREATE TABLE articles (
    n INTEGER PRIMARY KEY, article_id TEXT NOT NULL UNIQUE, language TEXT NOT NULL,
    audience INTEGER NOT NULL, expires_at REAL, first_chunk INTEGER NOT NULL, name TEXT NOT NULL,
    record BLOB NOT NULL
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

_AUDIENCES = tuple(Audience)


class Manifest(msgspec.Struct, frozen=True):
    """
    `version` is the articles'; `embedder` is None where there are no vectors. `unembedded` texts had none yet: they are found by
    their words.
    """

    format: int
    version: int
    built_at: datetime
    articles: int
    chunks: int
    embedder: str | None
    sha256: dict[str, str]
    unembedded: int = 0


@dataclass(frozen=True, slots=True)
class IndexedArticle:
    """An article with its chunks, numbered on through the whole index."""

    article: Article
    chunks: tuple[Chunk, ...]


def cut(articles: Sequence[Article]) -> list[IndexedArticle]:
    """
    What goes into an index, the widest audience first, so that whatever a reader may see stands before what he may not.

    Nothing could be quoted of an article without a visible character.
    """
    by_audience = sorted(articles, key=lambda article: _AUDIENCES.index(article.audience))
    return [IndexedArticle(article, pieces) for article in by_audience if (pieces := chunks(article.body))]


def title_to_embed(article: Article) -> str:
    """Empty for an article without a title, which has nothing to embed there."""
    return article.title.strip()


def text_to_embed(article: Article, chunk: Chunk) -> str:
    return "\n".join(part for part in (article.title, chunk.heading, plain(chunk.text)) if part)


def write_index(
    folder: Path,
    articles: Sequence[IndexedArticle],
    *,
    version: int,
    embedder: str | None,
    built_at: datetime,
    unembedded: int = 0,
) -> Manifest:
    """Complete a folder that has the vectors already (`tools.knowledge.vectors`), or has none and makes no use of them."""
    _write_articles(folder / ARTICLES, articles)
    files = [ARTICLES, *((CHUNK_VECTORS, ARTICLE_VECTORS) if embedder is not None else ())]
    manifest = Manifest(
        format=_FORMAT,
        version=version,
        built_at=built_at,
        articles=len(articles),
        chunks=sum(len(one.chunks) for one in articles),
        embedder=embedder,
        sha256={name: _sha256(folder / name) for name in files},
        unembedded=unembedded,
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
                f"{(folder / ARTICLES).resolve().as_uri()}?mode=ro&immutable=1",
                uri=True,
                check_same_thread=False,
            )
            rows = self._rows(
                "SELECT first_chunk, language, audience, expires_at, name FROM articles ORDER BY n"
            )
            self._first_chunk: npt.NDArray[np.int64] = np.array([row[0] for row in rows], np.int64)
            self.languages: tuple[str, ...] = tuple(row[1] for row in rows)
            self._audiences: npt.NDArray[np.int64] = np.array([row[2] for row in rows], np.int64)
            self._expiries: npt.NDArray[np.float64] = np.array(
                [np.inf if row[3] is None else row[3] for row in rows], np.float64
            )
            self.subjects = Subjects([row[4] for row in rows])
            self._chunk_vectors: Vectors | None = None
            if self.manifest.embedder is not None:
                self._chunk_vectors = np.load(folder / CHUNK_VECTORS, mmap_mode="r")
                self._article_vectors: Vectors = np.load(folder / ARTICLE_VECTORS, mmap_mode="r")
        except (OSError, ValueError, sqlite3.Error) as exc:
            raise DependencyUnavailable(DEPENDENCY, f"the index cannot be opened: {exc}") from exc

    def close(self) -> None:
        self._sql.close()
        self._chunk_vectors = None

    def articles_for(self, audience: Audience) -> int:
        """How many, from the first on, somebody of the audience may read."""
        return int(np.searchsorted(self._audiences, _AUDIENCES.index(audience), side="right"))

    def expired_at(self, moment: datetime) -> npt.NDArray[np.int64]:
        """The articles whose time is over."""
        return np.flatnonzero(self._expiries <= moment.timestamp())

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

    def articles_by_words(
        self, words: Sequence[str], *, limit: int, below: int | None = None
    ) -> dict[int, float]:
        """BM25, higher is better, of the best articles (with a number `below` that) that have any of the terms."""
        return self._by_words(
            f"SELECT rowid, -bm25(article_words, {_TITLE_WEIGHT}, 1.0) AS score FROM article_words"  # noqa: S608
            " WHERE article_words MATCH ? AND rowid < ? ORDER BY score DESC LIMIT ?",
            words,
            self.manifest.articles if below is None else below,
            limit,
        )

    def chunks_by_words(
        self, words: Sequence[str], *, limit: int, below: int | None = None
    ) -> dict[int, float]:
        """As `articles_by_words`, for chunks, whose titles would all say the same."""
        return self._by_words(
            "SELECT rowid, -bm25(chunk_words) AS score FROM chunk_words"
            " WHERE chunk_words MATCH ? AND rowid < ? ORDER BY score DESC LIMIT ?",
            words,
            self.manifest.chunks if below is None else below,
            limit,
        )

    def articles_with(self, phrase: Sequence[str], *, limit: int, below: int | None = None) -> list[int]:
        """The articles with these terms side by side, in their own order; `limit` at most."""
        return self._with(
            "SELECT rowid FROM article_words WHERE article_words MATCH ? AND rowid < ? LIMIT ?",
            phrase,
            self.manifest.articles if below is None else below,
            limit,
        )

    def chunks_with(self, phrase: Sequence[str], *, limit: int, below: int | None = None) -> list[int]:
        return self._with(
            "SELECT rowid FROM chunk_words WHERE chunk_words MATCH ? AND rowid < ? LIMIT ?",
            phrase,
            self.manifest.chunks if below is None else below,
            limit,
        )

    def cosines(self, vector: Vectors, *, articles: int | None = None) -> tuple[Vectors, Vectors]:
        """
        Of the vector with each chunk; and with each article's mean and title, both together from −2 to 2.

        Of the first so many `articles` only, where it is given: the vectors of others are not even read.
        """
        if self._chunk_vectors is None:
            raise DependencyUnavailable(VECTORS, "the index was built without vectors")
        # Not `@`: the threads it wakes for so small a product doubled the CPU time of a search (23 ms, now 11).
        chunks = self.chunks_of(articles)
        return np.vecdot(self._chunk_vectors[:chunks], vector), np.vecdot(
            self._article_vectors[:articles], vector
        )

    def best_of_articles(self, of_chunks: Vectors) -> Vectors:
        """The largest value among each article's chunks; `of_chunks` may end where an article does."""
        starts = self._first_chunk[: np.searchsorted(self._first_chunk, len(of_chunks))]
        best: Vectors = np.maximum.reduceat(of_chunks, starts) if len(starts) else of_chunks
        return best

    def chunks_of(self, articles: int | None) -> int:
        """How many chunks the first so many articles have."""
        if articles is None or articles >= len(self._first_chunk):
            return self.manifest.chunks
        return int(self._first_chunk[articles])

    def chunk_range(self, article: int) -> range:
        ends = (
            self._first_chunk[article + 1] if article + 1 < len(self._first_chunk) else self.manifest.chunks
        )
        return range(int(self._first_chunk[article]), int(ends))

    def article(self, number: int) -> Article:
        rows = self._rows("SELECT record FROM articles WHERE n = ?", number)
        return _decoded(rows[0][0])

    def number_of(self, article_id: str) -> int | None:
        rows = self._rows("SELECT n FROM articles WHERE article_id = ?", article_id)
        return int(rows[0][0]) if rows else None

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

    def _with(self, statement: str, phrase: Sequence[str], below: int, limit: int) -> list[int]:
        return [row[0] for row in self._rows(statement, _in_a_row(phrase), below, limit)]

    def _by_words(self, statement: str, words: Sequence[str], below: int, limit: int) -> dict[int, float]:
        return dict(self._rows(statement, _any_of(words), below, limit)) if words else {}

    def _rows(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._sql.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            raise DependencyUnavailable(DEPENDENCY, f"the index cannot be asked: {exc}") from exc


def _write_articles(path: Path, articles: Sequence[IndexedArticle]) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.executescript(_SCHEMA)
        first = 0
        for number, one in enumerate(articles):
            article = one.article
            sql.execute(
                "INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    article.article_id,
                    language_of(article.language),
                    _AUDIENCES.index(article.audience),
                    article.expires_at.timestamp() if article.expires_at is not None else None,
                    first,
                    name_in(article.title),
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


def _in_a_row(phrase: Sequence[str]) -> str:
    return f'"{" ".join(phrase)}"'


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
