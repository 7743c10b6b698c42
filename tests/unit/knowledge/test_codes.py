"""
Codes and ids in a question bring the articles that have them to the front; copies of an article are shown once.
"""

import pytest

from core.identity import DEFAULT_TENANT
from tests.unit.knowledge.shelf import SHOP, CountingEmbedder, Shelf, article
from tools.knowledge.codes import codes, ids
from tools.knowledge.search import LocalKnowledge

ERRORS = (
    article(
        "kb-77", "Lamp errors", "E-4017 means that the lamp is too hot.\n\n## E-4018\n\nThe cable is loose."
    ),
    article(
        "heat", "The lamp shows an error and is too hot", "What an error of a hot lamp means: let it cool."
    ),
    article("log", "Reading the log", "A line with ERR_DISK_7 says that the disk is full."),
    article("disk", "Disk errors", "Seven errors of the disk: err on the safe side."),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What does E-4017 mean?", [("e4017",)]),
        ("e4017!", [("e4017",)]),
        ("ERR_DISK_7 and err_disk", [("err", "disk", "7")]),
        ("ERR_CONNECTION_REFUSED", [("err", "connect", "refus")]),
        ("order 10045 of AZ-99-1, E4017 or E-4017", [("10045",), ("az991",), ("e4017",)]),
        ("iPhone15", [("iphone15",)]),
        ("within 30-day or 2nd or 16GB or 24/7 since 2024 for 500", []),
        ("wi-fi and check-in", []),
    ],
)
def test_a_code_is_told_from_a_count(text: str, found: list[tuple[str, ...]]) -> None:
    assert list(codes(text)) == found


def test_only_words_with_a_digit_can_be_ids() -> None:
    assert ids("see (kb-77), please; ABX00023.") == ("kb-77", "ABX00023")


@pytest.mark.parametrize("with_vectors", [True, False])
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("my lamp is too hot and shows an error, E-4017", "kb-77"),
        ("my lamp is too hot and shows an error, e4017", "kb-77"),
        ("disk errors: ERR_DISK_7", "log"),
        ("errors of a hot lamp, see kb-77", "kb-77"),
        ("my lamp is too hot and shows an error", "heat"),
    ],
)
async def test_the_article_with_the_code_comes_first(
    shelf: Shelf, question: str, expected: str, with_vectors: bool
) -> None:
    await shelf.put(*SHOP, *ERRORS)
    knowledge = LocalKnowledge(shelf.data_dir, CountingEmbedder() if with_vectors else None)

    found = await knowledge.search(DEFAULT_TENANT, question, limit=3)

    assert found.passages[0].article_id == expected


async def test_a_code_goes_before_what_is_said_of_the_thing_that_was_named(shelf: Shelf) -> None:
    await shelf.put(
        *SHOP,
        *ERRORS,
        article("sun-1", "Sun lamp: errors", "The sun lamp is too hot and shows an error."),
        article("sun-2", "Sun lamp: cleaning", "Wipe the sun lamp with a cloth."),
    )

    assert (await shelf.found("my sun lamp is too hot and shows error E-4017"))[0] == "kb-77"


async def test_the_part_with_the_code_is_quoted(shelf: Shelf) -> None:
    filler = "An error means that the lamp is hot, or not. " * 15
    await shelf.put(article("all", "Errors", f"{filler}\n\n## Cables\n\n{filler} E-4018: loose."), *SHOP)

    found = await shelf.knowledge.search(DEFAULT_TENANT, "hot lamp error e4018", limit=1)

    assert "E-4018" in found.passages[0].text


async def test_a_code_that_many_articles_have_decides_nothing(shelf: Shelf) -> None:
    boards = [article(f"b{n}", f"Board {n}", f"The ESP32 on board {n}.") for n in range(6)]
    await shelf.put(*boards, article("flash", "Flash a board", "How to flash a board over USB."))

    assert (await shelf.found("how to flash a board with ESP32"))[0] == "flash"


async def test_a_code_said_before_is_still_meant(shelf: Shelf) -> None:
    await shelf.put(*SHOP, *ERRORS)

    assert (await shelf.found("what does the error mean?", context=("it says E-4017",)))[0] == "kb-77"


async def test_a_copy_of_an_article_is_shown_once_and_makes_room(shelf: Shelf) -> None:
    await shelf.put(
        *SHOP,
        article(
            "warranty-print",
            "Warranty | Print",
            "Broken lamps are repaired for two years after the purchase.",
        ),
    )

    found = await shelf.knowledge.search(DEFAULT_TENANT, "lamp warranty, a week or two", limit=3)

    assert len({"warranty", "warranty-print"} & {passage.article_id for passage in found.passages}) == 1
    assert len(found.passages) == 3


@pytest.mark.parametrize(
    ("title", "body", "language"),
    [
        ("Warranty", "Broken desks are repaired for two years after the purchase.", "en"),
        ("Warranty", "Broken lamps are repaired for two years after the purchase, since 2025.", "en"),
        ("Guarantee", "Broken lamps are repaired for two years after the purchase.", "en"),
        ("Warranty", "Broken lamps are repaired for two years after the purchase.", "es"),
    ],
)
async def test_what_differs_in_what_matters_is_no_copy(
    shelf: Shelf, title: str, body: str, language: str
) -> None:
    await shelf.put(*SHOP, article("other", title, body, language=language))

    assert {"warranty", "other"} <= set(await shelf.found("lamp warranty guarantee repaired after purchase"))
