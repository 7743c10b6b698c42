"""
Which thing is talked about is learnt from the names that titles begin with, whoever said the name.
"""

import pytest

from tests.unit.knowledge.shelf import SHOP, Shelf, article
from tools.knowledge.subjects import Subjects, name_in

HOTELS = tuple(
    article(f"{short}-{topic}", f"{name}: {question}", answer)
    for short, name in (("anna", "Anna Guest House"), ("berg", "Berg Hotel"), ("cove", "The Cove Hotel"))
    for topic, question, answer in (
        ("parking", "Is there parking?", f"Cars can be parked behind the house ({short})."),
        ("pets", "Are pets allowed?", f"Dogs and cats are welcome ({short})."),
    )
)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Silver Card: Limits abroad", "silver card"),
        ("Silver Cards – limits", "silver card"),
        ("Berg Hotel | Parking", "berg hotel"),
        ("How to return an item", ""),
        ("Wi-Fi", ""),
        ("Note: ", ""),
        (
            "What to do when it happens that nobody at all answers the door on weekdays or holidays: call us",
            "",
        ),
    ],
)
def test_a_name_stands_before_a_colon_or_a_dash(title: str, name: str) -> None:
    assert name_in(title) == name


def test_a_name_is_one_where_some_articles_have_it_and_not_too_many() -> None:
    names = ["silver card"] * 2 + ["gold card"] + ["bank"] * 5

    assert Subjects(names).named_in(["silver card or gold card of the bank"]).keys() == {0, 1}


def test_the_newest_name_is_the_strongest_and_another_spelling_is_understood() -> None:
    subjects = Subjects([name_in(each.title) for each in HOTELS])

    found = subjects.named_in(["and pets?", "the Anna guesthouse", "or the Berg hotel"])

    assert found[0] > found[2] > 0
    assert 4 not in found


def test_a_longer_name_is_not_the_shorter_one_in_it() -> None:
    subjects = Subjects(["silver card"] * 2 + ["business silver card"] * 2 + ["gold card"] * 8)

    assert subjects.named_in(["my business silver card"]).keys() == {2, 3}
    assert subjects.named_in(["my silver card"]).keys() == {0, 1}


def test_who_names_many_things_is_about_none_in_particular() -> None:
    subjects = Subjects(["silver card"] * 2 + ["gold card"] * 2 + ["blue account"] * 2 + ["other"] * 2)

    one = subjects.named_in(["the blue account"])
    three = subjects.named_in(["the blue account, or a silver card, or a gold card"])

    assert three.keys() == {0, 1, 2, 3, 4, 5}
    assert three[4] == pytest.approx(one[4] / 3)


@pytest.mark.parametrize("who", ["customer", "agent"])
@pytest.mark.parametrize(
    ("name", "short"), [("Anna Guest House", "anna"), ("Berg Hotel", "berg"), ("Cove Hotel", "cove")]
)
async def test_they_are_those_that_were_named_before(shelf: Shelf, who: str, name: str, short: str) -> None:
    await shelf.put(*HOTELS, *SHOP)
    said = f"I recommend the {name} in the west."

    found = await shelf.knowledge.search(
        "default",
        "do they take dogs?",
        limit=3,
        context=(said if who == "customer" else "somewhere to sleep, please",),
        replies=(said,) if who == "agent" else (),
    )

    assert found.passages[0].article_id == f"{short}-pets"


async def test_another_matter_is_found_in_spite_of_what_was_named_before(shelf: Shelf) -> None:
    await shelf.put(*HOTELS, *SHOP)

    found = await shelf.knowledge.search(
        "default",
        "are broken lamps repaired under warranty?",
        limit=1,
        replies=("The Berg Hotel is booked.",),
    )

    assert found.passages[0].article_id == "warranty"


async def test_the_replies_own_words_find_nothing(shelf: Shelf) -> None:
    await shelf.put(*HOTELS, *SHOP)

    found = await shelf.knowledge.search("default", "thanks", limit=3, replies=("Lamps have a warranty.",))

    assert [passage.article_id for passage in found.passages if passage.lexical] == []
