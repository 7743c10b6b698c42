"""
Customers who talk to a chat service over HTTP, each in a conversation of their own, each waiting for the answer.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence

import aiohttp

KEY = "bench-server-key-0123456789"
CUSTOMER = "cus_bench_{number}"
QUESTION = "Where is my order, and when will it come?"
_MOST_RESENT = 200
_numbers = itertools.count()


class Customers:
    """
    `numbers` says which customers; a customer goes on in the conversation that the first answer named, and sends a message
    again that was refused for the moment (`resent` counts).
    """

    def __init__(self, url: str, numbers: Sequence[int]) -> None:
        self._url = f"{url}/v1/chat"
        self._conversations: dict[int, str | None] = dict.fromkeys(numbers)
        self.resent = 0

    async def ask(
        self, turns: int, *, at_once: int | None = None, expected: str | None = None, are_new: bool = False
    ) -> list[float]:
        """
        Seconds that each of `turns` answers took, shared out evenly and asked for by `at_once` customers at a time.

        `are_new` makes each question differ from all before it.

        Raises:
            RuntimeError: an answer is not the one that was `expected`, not the model's, degraded, or none at all.
        """
        taken: list[float] = []
        may_ask = asyncio.Semaphore(at_once or len(self._conversations))
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

            async def converse(number: int, questions: int) -> None:
                for _ in range(questions):
                    async with may_ask:
                        taken.append(await self._ask(session, number, expected, is_new=are_new))

            each, more = divmod(turns, len(self._conversations))
            async with asyncio.TaskGroup() as group:
                for place, number in enumerate(self._conversations):
                    group.create_task(converse(number, each + (place < more)))
        return taken

    async def _ask(
        self, session: aiohttp.ClientSession, number: int, expected: str | None, *, is_new: bool
    ) -> float:
        place = next(_numbers)
        body = {
            "message": f"{QUESTION} I ask for the {place}th time." if is_new else QUESTION,
            "customer_id": CUSTOMER.format(number=number),
            "client_message_id": f"m{place}",
        }
        conversation = self._conversations[number]
        if conversation is not None:
            body["conversation_id"] = conversation
        began = time.perf_counter()
        while True:
            async with session.post(self._url, json=body) as response:
                answer = await response.json()
            if response.status != 503 or self.resent > _MOST_RESENT:
                break
            self.resent += 1
            await asyncio.sleep(float(response.headers["Retry-After"]))
        seconds = time.perf_counter() - began
        is_wanted = (
            response.status == 200 and answer.get("brain", "llm") == "llm" and not answer.get("degraded")
        )
        if not is_wanted or (expected is not None and expected not in answer["reply"]["text"]):
            raise RuntimeError(f"{self._url} answered {response.status}: {answer}")
        self._conversations[number] = answer["conversation_id"]
        return seconds
