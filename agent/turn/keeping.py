"""
Keep a turn's hold on its conversation while a brain works: renew the lease, tell other replicas, hear whether to stop.

Most turns are over before anything of that is due: they pay for a timer and nothing else.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from agent.turn.effects import TurnTools
from agent.turn.sharing import SHARE_SECONDS, Sharing
from core.clock import Clock
from state.store import ConversationStore, Lease

T = TypeVar("T")


class Keeper:
    """Of one turn, in whose task the work runs."""

    def __init__(
        self,
        store: ConversationStore,
        lease: Lease,
        sharing: Sharing,
        tools: TurnTools,
        *,
        clock: Clock,
        renew_seconds: float,
    ) -> None:
        self._store = store
        self._lease = lease
        self._sharing = sharing
        self._tools = tools
        self._clock = clock
        self._renew_seconds = renew_seconds
        self._renew_at = clock.monotonic() + renew_seconds
        self._task: asyncio.Task[None] | None = None
        self._worker: asyncio.Task[object] | None = None
        self._failure: BaseException | None = None

    async def during(self, work: Awaitable[T]) -> T:
        """
        What `work` returns. Where somebody wants the turn stopped, `work` is cancelled once no tool is under way.

        Raises:
            LeaseLost: `work` was cancelled, because the conversation is somebody else's by now.
        """
        self._worker = worker = asyncio.current_task()
        timer = asyncio.get_running_loop().call_later(SHARE_SECONDS, self._begin)
        try:
            return await work
        except asyncio.CancelledError:
            if self._failure is None or worker is None or worker.uncancel():
                raise
            raise self._failure from None
        finally:
            self._worker = None
            timer.cancel()
            if self._task is not None:
                self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        try:
            while True:
                self._sharing.occasion()
                if self._sharing.is_stop_asked and not self._tools.is_stopped:
                    # A task that cancels itself as it ends would be taken for cancelled: so another step does it.
                    self._tools.stop(lambda: asyncio.get_running_loop().call_soon(self._cancel_work))
                if self._clock.monotonic() >= self._renew_at:
                    await self._store.renew(self._lease)
                    self._renew_at = self._clock.monotonic() + self._renew_seconds
                await asyncio.sleep(SHARE_SECONDS)
        except Exception as exc:  # the turn hears of it in the place of its work
            self._failure = exc
            self._cancel_work()

    def _cancel_work(self) -> None:
        """Nothing where the work is over: what follows it is the commit, which nobody may cancel."""
        if self._worker is not None:
            self._worker.cancel()
