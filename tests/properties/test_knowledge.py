"""
Chunks are the body itself, and no text whatever breaks a search.
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import Article
from tools.knowledge.chunk import MAX_CHARACTERS, chunks, plain
from tools.knowledge.index import Index, cut, write_index
from tools.knowledge.words import terms

_MARKDOWN = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            [
                "# A\n",
                "## B\n\n",
                "\n\n",
                "\r\n",
                "\r",
                "- ",
                "> ",
                "```\n",
                "| a | b |\n|--|--|\n",
                "<b>",
                "word " * 300,
            ]
        ),
        st.text(alphabet="ab \n#.", max_size=400),
    ),
    max_size=30,
).map("".join)

_QUERY = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="\"*():^-+{}\x00 ANDORNEARab\ud800'", max_size=60),
    st.sampled_from(
        ['"', "a* OR b", "NEAR(a b)", "title:a", "-a", "^a", '"a" AND', "''; DROP TABLE articles", "½ ﬁ İ"]
    ),
)


@given(_MARKDOWN)
@settings(max_examples=300, deadline=None)
def test_chunks_are_literal_slices_that_cover_the_body(body: str) -> None:
    found = chunks(body)

    assert "".join(chunk.text for chunk in found) == (body if body.strip() else "")
    for chunk in found:
        assert body[chunk.start : chunk.start + len(chunk.text)] == chunk.text
        assert 0 < len(chunk.text) <= MAX_CHARACTERS


@given(st.text(max_size=500))
@settings(deadline=None)
def test_terms_are_what_the_index_can_be_asked_for(text: str) -> None:
    assert all(term.isalnum() for term in terms(text))
    assert "\n" not in plain(text)


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    articles = [
        Article(article_id=str(n), title=f"title {n}", body=f"a body and near {n} or ab") for n in range(5)
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder), cut(articles), version=1, embedder=None, built_at=datetime.now(UTC))
        opened = Index(Path(folder))
        yield opened
        opened.close()


@given(query=_QUERY)
@settings(max_examples=300, deadline=None)
def test_no_question_breaks_the_word_index(index: Index, query: str) -> None:
    asked = list(index.weights(terms(query)))

    by_articles = index.articles_by_words(asked, limit=5)
    by_chunks = index.chunks_by_words(asked, limit=5)

    assert all(score > 0 for score in (*by_articles.values(), *by_chunks.values()))
