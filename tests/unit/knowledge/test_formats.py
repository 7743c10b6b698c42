"""
What comes out of each kind of file.
"""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from core.identity import Audience
from core.ids import digest
from core.records import Article
from tests.unit.knowledge.shelf import docx_with, pdf_with
from tools.knowledge.article import Failure, Terms
from tools.knowledge.formats import Document, UnreadableError, read_document
from tools.knowledge.read import read_articles


def read(name: str, text: str) -> Document:
    return read_document(name, text.encode())


def test_front_matter_names_an_article_and_is_not_part_of_it() -> None:
    document = read("a.md", '---\ntitle: "Return it"\nurl: https://shop.example/r\n---\n\n# Other\n\nText')

    assert document.title == "Return it"
    assert document.fields == {"url": "https://shop.example/r"}
    assert document.body == "\n# Other\n\nText"


def test_the_first_heading_is_the_title_and_code_is_no_heading() -> None:
    assert read("a.md", "```\n# not this\n```\n\n## **Setup** of `it` {#id}\n\nText").title == "Setup of it"


def test_a_rule_is_no_front_matter() -> None:
    assert read("a.md", "Text\n\n---\n\ntitle: no\n\n---\n").title is None


def test_html_becomes_text_with_headings_and_lists() -> None:
    html = """<html lang="es"><head><title>Shop | Help</title><link rel="canonical" href="https://s.example/h">
    <style>p {}</style></head><body><nav>Home</nav><main><h1>Track <b>it</b></h1><p>See the
    <a href="/l">link</a>.<br>Soon.</p><ul><li>One</li><li><p>Two</p></li></ul><h2>Late</h2>
    <table><tr><td>Zone</td><td>Days</td></tr></table><script>alert(1)</script></main><footer>Bye</footer>"""

    document = read("a.html", html)

    assert document.title == "Track it"
    assert document.fields == {"language": "es", "url": "https://s.example/h"}
    assert "# Track it\n\nSee the link.\nSoon.\n\n- One\n" in document.body
    assert "\n\n## Late\n\nZone Days" in document.body
    assert not any(word in document.body for word in ("Home", "Bye", "alert", "p {}"))


def test_html_nested_ten_thousand_deep_is_read() -> None:
    assert "deep" in read("a.html", "<div>" * 10_000 + "deep").body


def test_a_pdf_gives_its_text() -> None:
    assert read_document("a.PDF", pdf_with("Press the red button")).body == "Press the red button"


def test_byte_order_marks_and_windows_line_ends_are_taken_away() -> None:
    assert read_document("a.txt", b"\xef\xbb\xbfone\r\ntwo\x00").body == "one\ntwo"
    assert read_document("a.txt", "grün".encode("utf-16")).body == "grün"


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in (".git/a.md", ".hidden.md", "logo.png", "good.md"):
        (tmp_path / name).write_text("text")

    found = list(read_articles(tmp_path, source="s"))

    assert [one.article_id for one in found] == ["good"]


def test_a_file_named_by_hand_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")

    assert [type(one) for one in read_articles(tmp_path / "logo.png", source="s")] == [Failure]


def test_a_file_without_a_heading_is_called_by_its_name_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "late-parcels.txt").write_text("They come.")

    [found] = read_articles(tmp_path, source="s")

    assert isinstance(found, Article)
    assert (found.title, found.category) == ("late parcels", "orders")
    assert found.article_id == "orders/late-parcels.txt"


@pytest.mark.parametrize("changed", ["title", "body", "url"])
def test_the_hash_covers_title_body_and_url(tmp_path: Path, changed: str) -> None:
    row = {"id": "a", "title": "A", "body": "apples", "url": "https://a.example/"}
    path = tmp_path / "articles.jsonl"
    hashes = []
    for values in (row, row | {changed: "other words"}):
        path.write_text(str(values).replace("'", '"'))
        [one] = read_articles(path, source="s")
        assert isinstance(one, Article)
        hashes.append(one.content_hash)

    assert hashes[0] != hashes[1]


def test_every_article_of_the_arduino_help_centre_is_read(arduino: Path) -> None:
    found = list(read_articles(arduino, source="s"))

    assert len(found) == 414
    assert all(isinstance(one, Article) for one in found)


def test_a_word_document_keeps_its_title_and_headings() -> None:
    content = docx_with(
        ("Title", "Manual"), (None, "Press &amp; hold."), ("Heading2", "Reset"), (None, "For 5 s.")
    )

    document = read_document("manual.DOCX", content)

    assert document.title == "Manual"
    assert document.body == "# Manual\n\nPress & hold.\n\n## Reset\n\nFor 5 s.\n"


def bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 201_000_000)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04 and then nothing", "damaged"),
        (b"\xd0\xcf\x11\xe0 as Word writes what it has locked", "locked with a password"),
        (docx_with((None, "<w:p>")), "damaged"),
        (docx_with((None, " ")), "no text"),
    ],
)
def test_a_word_document_that_cannot_be_read_says_why(content: bytes, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        read_document("manual.docx", content)


def test_a_word_document_that_unpacks_to_very_much_is_not_unpacked() -> None:
    with pytest.raises(UnreadableError, match="more than 200 MB"):
        read_document("manual.docx", bomb())


@pytest.mark.parametrize(
    ("expires", "moment"),
    [
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T18:00+01:00", datetime(2026, 12, 31, 17, tzinfo=UTC)),
    ],
)
def test_an_article_says_for_whom_it_is_and_until_when(
    tmp_path: Path, expires: str, moment: datetime
) -> None:
    (tmp_path / "a.md").write_text(
        f"---\naudience: Internal\nlang: es\nexpires: {expires}\n---\n# A\n\napples", encoding="utf-8"
    )
    row = {
        "id": "b",
        "title": "B",
        "body": "pears",
        "audience": "internal",
        "language": "es",
        "expires": expires,
    }
    (tmp_path / "b.jsonl").write_bytes(msgspec.json.encode(row))

    for one in read_articles(tmp_path, source="s"):
        assert isinstance(one, Article)
        assert (one.audience, one.language, one.expires_at) == (Audience.INTERNAL, "es", moment)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("audience: agents", "audience is public, customer or internal, not 'agents'"),
        ("expires: soon", "expires is a day"),
        ("expires: 2026-12-31T18:00", "with its offset"),
        ("expires: 2026-02-30", "expires is a day"),
    ],
)
def test_what_is_said_and_not_understood_keeps_the_article_out(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "a.md").write_text(f"---\n{line}\n---\n# A\n\napples", encoding="utf-8")

    [failure] = read_articles(tmp_path, source="s")

    assert isinstance(failure, Failure)
    assert why in failure.why
    assert failure.article_id == "a"


def test_of_two_audiences_the_narrower_counts(tmp_path: Path) -> None:
    for name in Audience:
        (tmp_path / f"{name}.md").write_text(f"---\naudience: {name}\n---\napples", encoding="utf-8")
    (tmp_path / "silent.md").write_text("apples", encoding="utf-8")

    found = read_articles(tmp_path, source="s", terms=Terms(Audience.CUSTOMER, "de"))

    assert {one.article_id: (one.audience, one.language) for one in found if isinstance(one, Article)} == {
        "public": (Audience.CUSTOMER, "de"),
        "customer": (Audience.CUSTOMER, "de"),
        "internal": (Audience.INTERNAL, "de"),
        "silent": (Audience.CUSTOMER, "de"),
    }


def test_the_hash_of_an_article_that_says_nothing_of_its_audience_is_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("apples", encoding="utf-8")

    hashes = [
        one.content_hash
        for terms in (Terms(), Terms(Audience.CUSTOMER), Terms(expires_at=datetime(2027, 1, 1, tzinfo=UTC)))
        for one in read_articles(tmp_path, source="s", terms=terms)
        if isinstance(one, Article)
    ]

    assert len(set(hashes)) == 3
    assert hashes[0] == digest("a", "apples", "", "", "en").hex()
