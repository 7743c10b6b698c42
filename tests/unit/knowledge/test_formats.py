"""
What comes out of each kind of file.
"""

from pathlib import Path

import pytest

from core.records import Article
from tests.unit.knowledge.shelf import pdf_with
from tools.knowledge.formats import Document, read_document
from tools.knowledge.read import Failure, read_articles


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
