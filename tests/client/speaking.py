"""One way to call both clients, so that a test is written once and holds with and without asyncio."""

import inspect
from collections.abc import Callable
from typing import Any

from careline_client import AsyncCareline, Careline, RetryPolicy
from careline_client.fake import FakeCareline


class Speaking:
    """`library` is `Careline` or `AsyncCareline`; tests name its methods, and this waits for what they return."""

    def __init__(self, library: Any) -> None:
        self.library = library

    async def __call__(self, call: Callable[[Any], Any]) -> Any:
        returned = call(self.library)
        return await returned if inspect.isawaitable(returned) else returned

    async def all(self, call: Callable[[Any], Any]) -> list[Any]:
        """What an iterator tells, to its end."""
        told = call(self.library)
        if hasattr(told, "__aiter__"):
            return [each async for each in told]
        return list(told)

    async def close(self) -> None:
        await self(lambda library: library.close())


def speaking_to(fake: FakeCareline, *, is_sync: bool, policy: RetryPolicy, **options: Any) -> Speaking:
    if is_sync:
        return Speaking(
            Careline("http://fake", transport=fake.transport, sleep=fake.sleep, retries=policy, **options)
        )
    return Speaking(
        AsyncCareline(
            "http://fake", transport=fake.transport, sleep=fake.async_sleep, retries=policy, **options
        )
    )


def passing(fake: FakeCareline) -> Callable[[], float]:
    """A clock on which only the client's pauses pass."""
    return lambda: sum(fake.slept)
