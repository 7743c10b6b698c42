"""Explanations and feedback in both databases."""

import asyncio
from datetime import timedelta

from core.explanation import KeptExplanation
from core.records import Feedback
from state.sql.engine import Database
from state.sql.explanations import SqlExplanations, SqlFeedback
from tests.contracts.databases import NOON, database, database_url  # noqa: F401


async def test_an_explanation_is_kept_once_per_turn_and_tenant(database: Database) -> None:  # noqa: F811
    explanations = SqlExplanations(database)
    await explanations.keep([KeptExplanation("default", "turn_1", b"first")])
    await explanations.keep(
        [KeptExplanation("default", "turn_1", b"second"), KeptExplanation("other", "turn_1", b"theirs")]
    )

    assert await explanations.explanation("default", "turn_1") == b"first"
    assert await explanations.explanation("other", "turn_1") == b"theirs"
    assert await explanations.explanation("default", "turn_2") is None


async def test_what_is_old_is_forgotten_and_the_rest_stays(database: Database) -> None:  # noqa: F811
    explanations = SqlExplanations(database)
    await explanations.keep([KeptExplanation("default", "turn_old", b"old")])
    await asyncio.sleep(0.3)
    await explanations.keep([KeptExplanation("default", "turn_new", b"new")])

    forgotten = await explanations.forget(kept_seconds=0.15)

    assert forgotten == 1
    assert await explanations.explanation("default", "turn_old") is None
    assert await explanations.explanation("default", "turn_new") == b"new"


async def test_the_last_word_on_a_turn_counts_for_each_who_gave_one(database: Database) -> None:  # noqa: F811
    feedback = SqlFeedback(database)
    first = Feedback(
        conversation_id="c", turn_id="t", given_by="customer:ada", score=1, comment="No", at=NOON
    )
    later = Feedback(
        conversation_id="c", turn_id="t", given_by="customer:ada", thumbs="up", at=NOON + timedelta(minutes=1)
    )
    other = Feedback(conversation_id="c", turn_id="t", given_by="server:shop", score=4, at=NOON)
    for each in (first, other, later):
        await feedback.give("default", each)

    assert await feedback.of_turn("default", "c", "t") == [other, later]
    assert await feedback.of_turn("another", "c", "t") == []


async def test_recordings_are_kept_beside_explanations_and_apart_from_them(database: Database) -> None:  # noqa: F811
    explanations, recordings = SqlExplanations(database), SqlExplanations.of_recordings(database)
    await explanations.keep([KeptExplanation("default", "turn_1", b"why")])
    await recordings.keep([KeptExplanation("default", "turn_1", b"what")])

    assert await explanations.explanation("default", "turn_1") == b"why"
    assert await recordings.explanation("default", "turn_1") == b"what"
    await asyncio.sleep(0.01)
    assert await recordings.forget(kept_seconds=0.0) == 1
    assert await recordings.explanation("default", "turn_1") is None
    assert await explanations.explanation("default", "turn_1") == b"why"
