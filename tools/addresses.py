"""
What an e-mail address may look like.

Stricter than the RFCs: quoted local parts, comments and literals are legal, rare, and a way to smuggle
headers.
"""

import re

_LONGEST = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_LOCAL_PART = 64
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


def is_email_address(text: str) -> bool:
    """One bare address and nothing around it; `user@localhost` counts."""
    if len(text) > _LONGEST or _ADDRESS.fullmatch(text) is None:
        return False
    return len(text.partition("@")[0]) <= _LONGEST_LOCAL_PART
