"""
Learn which addresses turned out not to work after the sending, and forget sendings that nobody asks about any more.

A mark belongs to the tenants that have written to the address.
"""

from collections.abc import Sequence
from datetime import timedelta

from core.clock import Clock
from core.records import recipient_of
from core.telemetry.logging import get_logger
from tools.classify import error_type_of
from tools.ports import BounceSource, NotificationLog
from tools.sending import SendingRules

_LOOK_BACK = timedelta(days=3)
"""A bounce may take days; what is marked already is not marked again."""
_KEPT = timedelta(days=30)

_log = get_logger(__name__)


class BounceWatch:
    def __init__(
        self,
        sources: Sequence[BounceSource],
        log: NotificationLog,
        rules: SendingRules,
        *,
        every_seconds: float,
        clock: Clock,
    ) -> None:
        self._sources = tuple(sources)
        self._sendings = log
        self._rules = rules
        self._every_seconds = every_seconds
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(self._every_seconds)

    async def run_once(self) -> int:
        """How many addresses were marked; a provider that cannot be asked now is asked the next time."""
        marked = 0
        now = self._clock.now()
        for source in self._sources:
            try:
                marked += await self._ask(source)
            except Exception as exc:  # the others are still to be asked, and this one again
                _log.warning("bounces.not_heard", channel=source.name, error_type=error_type_of(exc).value)
        try:
            await self._sendings.forget(now - _KEPT)
        except Exception as exc:  # another time
            _log.warning("bounces.not_tidied", error_type=error_type_of(exc).value)
        return marked

    async def _ask(self, source: BounceSource) -> int:
        marked = 0
        for bounce in await source.bounces(since=self._clock.now() - _LOOK_BACK):
            recipient = recipient_of(source.name, bounce.address)
            for tenant in await self._sendings.senders_to(recipient):
                if not await self._sendings.refused_among(tenant, [recipient]):
                    await self._rules.refuse(tenant, source.name, bounce.address, reason=bounce.reason)
                    marked += 1
        return marked
