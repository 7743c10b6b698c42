"""
Where an article is cut.
"""

from tools.knowledge.chunk import MAX_CHARACTERS, chunks, plain

LONG = "A sentence of a dozen words that says little about anything. " * 10


def test_sections_are_not_mixed_once_they_fill_a_chunk() -> None:
    found = chunks(f"# Guide\n\nIntro.\n\n## Windows\n\n{LONG}\n\n## macOS\n\n{LONG}")

    assert [chunk.heading for chunk in found] == ["Guide", "Guide › macOS"]
    assert all(not ("## Windows" in chunk.text and "## macOS" in chunk.text) for chunk in found)


def test_short_sections_stay_together() -> None:
    assert len(chunks("# Steps\n\n## One\n\nOpen it.\n\n## Two\n\nClose it.")) == 1


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    found = chunks(LONG * 3)

    assert len(found) > 2
    assert all(chunk.text.rstrip().endswith(".") for chunk in found)


def test_text_without_a_space_is_cut_anyway() -> None:
    assert [len(chunk.text) for chunk in chunks("x" * (2 * MAX_CHARACTERS + 1))] == [MAX_CHARACTERS] * 2 + [1]


def test_hashes_in_code_open_no_section() -> None:
    found = chunks(f"```\n# comment\n```\n\n{LONG}\n\n## Real\n\n{LONG}")

    assert {chunk.heading for chunk in found} == {"", "Real"}


def test_plain_text_has_words_and_no_marks() -> None:
    markdown = "> [!NOTE]\n> See **the** [page](https://a.example/x_(y)) or `run_it`.\n\n| a | b |\n|---|---|\n| 1 | 2 |"

    assert plain(markdown).startswith("See the page")
    assert "https" not in plain(markdown)
    assert plain(markdown).endswith("run_it . a b 1 2")
