"""Which deployment serves a conversation: by its channel, by shares of the traffic, and by what was chosen before."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agent.control.choice import BUILT_IN, chosen, point_of


@dataclass(frozen=True)
class Candidate:
    id: str
    traffic_share: float = 100.0
    channels: frozenset[str] | None = None


STABLE = Candidate("stable")
CANARY = Candidate("canary", traffic_share=10.0)
POINTS = [57.0788, 98.3262, 89.1205, 25.7942]
CONVERSATIONS = [f"conv_{n}" for n in range(4000)]


def choose(
    *candidates: Candidate, conversation: str = "conv_1", channel: str = "web", kept: str | None = None
) -> str:
    return chosen(candidates, conversation_id=conversation, channel=channel, kept=kept)


def test_the_newest_takes_its_share_and_the_one_before_it_the_rest() -> None:
    counted = Counter(choose(CANARY, STABLE, conversation=each) for each in CONVERSATIONS)

    assert set(counted) == {"canary", "stable"}
    assert 0.08 < counted["canary"] / len(CONVERSATIONS) < 0.12


def test_what_no_deployment_takes_is_left_to_the_built_in_agent() -> None:
    quarter = Candidate("quarter", traffic_share=25.0)
    counted = Counter(choose(quarter, conversation=each) for each in CONVERSATIONS)

    assert 0.22 < counted["quarter"] / len(CONVERSATIONS) < 0.28
    assert counted[BUILT_IN] == len(CONVERSATIONS) - counted["quarter"]


def test_a_whole_share_leaves_nothing_to_the_older_ones() -> None:
    assert {choose(Candidate("new"), STABLE, conversation=each) for each in CONVERSATIONS} == {"new"}


def test_no_share_at_all_serves_nobody_new() -> None:
    nothing = Candidate("nothing", traffic_share=0.0)

    assert {choose(nothing, STABLE, conversation=each) for each in CONVERSATIONS} == {"stable"}


def test_where_a_conversation_lies_is_the_same_on_every_replica_and_version() -> None:
    assert [round(point_of(each), 4) for each in ("conv_1", "conv_2", "gespräch", "\ud800")] == POINTS


def test_a_greater_share_takes_more_and_gives_none_back() -> None:
    before = {each for each in CONVERSATIONS if choose(CANARY, STABLE, conversation=each) == "canary"}
    after = {
        each
        for each in CONVERSATIONS
        if choose(Candidate("canary", traffic_share=50.0), STABLE, conversation=each) == "canary"
    }

    assert before < after


def test_a_deployment_is_for_its_channels_alone() -> None:
    mail = Candidate("mail", channels=frozenset({"email"}))

    assert choose(mail, STABLE, channel="email") == "mail"
    assert choose(mail, STABLE, channel="web") == "stable"
    assert choose(mail, channel="web") == BUILT_IN


def test_shares_are_counted_among_those_of_the_channel() -> None:
    others = Candidate("others", channels=frozenset({"email"}))

    assert {choose(others, STABLE, conversation=each) for each in CONVERSATIONS} == {"stable"}


@given(
    share=st.floats(0, 100),
    conversation=st.text(min_size=1),
    kept=st.sampled_from(["canary", "stable", BUILT_IN]),
)
def test_what_was_chosen_stays_whatever_the_shares_become(share: float, conversation: str, kept: str) -> None:
    candidates = (Candidate("canary", traffic_share=share), STABLE)

    assert chosen(candidates, conversation_id=conversation, channel="web", kept=kept) == kept


def test_where_the_kept_one_has_ended_it_is_chosen_anew() -> None:
    assert choose(STABLE, kept="canary") == "stable"
    assert choose(kept="canary") == BUILT_IN
