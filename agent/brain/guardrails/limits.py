"""
How long a text may be: what a customer sends at once, and what is sent back.
"""

from agent.brain.guardrails.base import Fails, Passed, Refused


class LengthGuardrail:
    def __init__(self, characters: int, *, fails: Fails) -> None:
        self.name = "length_in"
        self.fails = fails
        self._characters = characters

    async def check(self, text: str, locale: str) -> Passed | Refused:
        return Passed(text) if len(text) <= self._characters else Refused("too_long")
