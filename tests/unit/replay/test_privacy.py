"""What leaves has nothing personal in it; under tokens all of it can be put back, by whoever has the key and by nobody else."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.privacy import Cover, Redacted, covered
from agent.replay.tokens import Tokens
from core.errors import ToolMisconfigured
from core.telemetry.redaction import redacted_text, without_personal
from tools.addresses import is_email_address

TOKENS = Tokens(b"0123456789abcdef0123456789abcdef")
PERSONAL = (
    "kim@lee.example",
    "+49 170 1234567",
    "4111 1111 1111 1111",
    "Kim Lee",
    "Main Street 7",
    "cust_kim_lee",
)


def conversation(**more: Any) -> RecordedConversation:
    profile = {
        "customer_id": "cust_kim_lee",
        "name": "Kim Lee",
        "email": "kim@lee.example",
        "phone": "+49 170 1234567",
        "address": {"street": "Main Street 7", "city": "Bonn"},
        "api_key": "sk-abcdef1234567890",
        "orders": [{"name": "Kettle", "id": "QC1"}],
    }
    return RecordedConversation(
        id="c1",
        customer="cust_kim_lee",
        messages=(
            RecordedMessage(role="customer", text="I am Kim Lee, kim@lee.example. Card 4111 1111 1111 1111."),
            RecordedMessage(
                role="tool", tool="customer_info", args={"about": "all"}, result={"profile": profile}
            ),
            RecordedMessage(
                role="model",
                prompt=({"role": "user", "content": 'Kim Lee says {"password": "hunter2x"}'},),
                completion={
                    "text": "",
                    "tool_calls": [{"name": "find", "arguments": '{"q": "+49 170 1234567"}'}],
                },
            ),
            RecordedMessage(
                role="agent", text="Hello Kim Lee (cust_kim_lee), your Kettle goes to Main Street 7."
            ),
        ),
        **more,
    )


def written(cover: Cover) -> str:
    return msgspec.json.encode(covered(conversation(), cover)).decode()


@pytest.mark.parametrize("cover", [Redacted(), TOKENS])
def test_nothing_personal_and_no_secret_is_left(cover: Cover) -> None:
    text = written(cover)

    assert [each for each in (*PERSONAL, "sk-abcdef1234567890", "hunter2x") if each in text] == []
    assert "Kettle" in text
    assert '"name":"find"' in text


def test_redacted_words_say_what_they_were() -> None:
    redacted = covered(conversation(), Redacted())

    assert redacted.messages[0].text == "I am [name], [email]. Card [card]."
    assert redacted.messages[1].result["profile"]["orders"] == [{"name": "Kettle", "id": "QC1"}]


def test_the_same_customer_is_one_in_an_export_and_nobody_across_exports() -> None:
    cover = Redacted()

    assert covered(conversation(), cover).customer == covered(conversation(), cover).customer
    assert covered(conversation(), cover).customer != covered(conversation(), Redacted()).customer


def test_tokens_are_opened_with_their_key_and_with_no_other() -> None:
    text = written(TOKENS)
    plain = covered(conversation(), lambda kind, words: words)

    assert TOKENS.revealed(text) == msgspec.json.encode(plain).decode()
    assert Tokens(b"another key that is as long as it must").revealed(text) == text


def test_the_token_of_an_address_is_an_address() -> None:
    for address in ("a@b.example", "kim@lee.example", f"{'x' * 60}@{'y' * 20}.example"):
        token = TOKENS("email", address)
        assert is_email_address(token)
        assert TOKENS("email", address) == token
        assert TOKENS.revealed(f"({token}.)") == f"({address}.)"


@given(st.text(), st.sampled_from(["email", "phone", "card", "number", "name", "customer", "address"]))
def test_every_token_is_opened_wherever_it_stands(words: str, kind: str) -> None:
    try:
        words.encode()
    except UnicodeEncodeError:
        return

    assert TOKENS.revealed(f"<{TOKENS(kind, words)}> and {TOKENS(kind, words)}") == f"<{words}> and {words}"


@given(
    st.lists(
        st.one_of(
            st.text("abc @.-+", max_size=8),
            st.emails(),
            st.from_regex(r"\+?[0-9][0-9 /-]{7,14}[0-9]", fullmatch=True),
        ),
        max_size=6,
    )
)
def test_whatever_is_redacted_is_what_tokens_put_back(parts: list[str]) -> None:
    text = " ".join(parts)
    sealed = without_personal(text, TOKENS)

    assert TOKENS.revealed(sealed) == without_personal(text, lambda kind, words: words)
    assert without_personal(text, lambda kind, _: f"[{kind}]") == redacted_text(text)


def test_what_only_looks_like_a_token_stays() -> None:
    for text in (
        "[phone:aaaa]",
        "[card:234567]",
        "kabc@tokens.invalid",
        "[name:a]",
        "kaaaa@bbbb.tokens.invalid",
    ):
        assert TOKENS.revealed(text) == text


def test_a_key_is_made_once_for_its_owner_alone_and_a_short_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = Tokens.from_file(path, may_make=True)

    assert Tokens.from_file(path).revealed(first("name", "Kim")) == "Kim"
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("short\n", encoding="utf-8")
    with pytest.raises(ToolMisconfigured, match="has 5 bytes, and needs 32"):
        Tokens.from_file(path, may_make=True)
    with pytest.raises(ToolMisconfigured, match="gone cannot be read"):
        Tokens.from_file(tmp_path / "gone")
