"""
What is counted of a rate limit: so many hits in so many seconds, whoever counts them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Room for `amount` hits in any `seconds`; `parts` say whose."""

    amount: int
    seconds: int
    parts: tuple[str, ...]
