"""Claims about ids: what is stored under one today must be found under it by every later version."""

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from core.ids import derived_id, new_id

ANY_TEXT = st.text(st.characters(codec=None))


@given(st.lists(ANY_TEXT, max_size=5))
def test_a_derived_id_is_the_base32_of_a_digest_of_its_parts(parts: list[str]) -> None:
    sha = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        sha.update(len(encoded).to_bytes(8, "big") + encoded)

    letters = base64.b32encode(sha.digest()[:15]).decode().lower()

    assert derived_id("turn", *parts) == f"turn_{letters}"


def test_ids_of_an_earlier_version_are_derived_still() -> None:
    assert derived_id("turn", "default", "conv_1", "m1") == "turn_yrzrqvhlvftog7kd4nogwwyo"


def test_a_new_id_has_as_many_letters_as_a_derived_one() -> None:
    fresh = {new_id("conv") for _ in range(100)}

    assert len(fresh) == 100
    assert {len(each) for each in fresh} == {len(derived_id("conv"))}
