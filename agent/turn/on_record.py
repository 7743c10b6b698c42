"""
The customer's language as the company has it on record, for a turn in which nothing else names one.

Asked of the directory once a day for each customer, and remembered in the customer's state: no other turn waits for it.
"""

import re
from datetime import datetime, timedelta

import msgspec

from agent.turn.steps import names_no_language
from core.clock import Clock
from core.errors import CarelineError
from core.identity import VISITOR_CUSTOMER_PREFIX
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard
from state.models import CustomerState
from state.store import Snapshot
from tools.ports import CustomerDirectory

_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")
_ASK_AGAIN_AFTER = timedelta(days=1)
_LONGEST_SECONDS = 0.3


class LanguageOnRecord:
    def __init__(self, directory: CustomerDirectory, guard: Guard, *, clock: Clock) -> None:
        self._directory = directory
        self._guard = guard
        self._clock = clock

    async def learned(self, snapshot: Snapshot) -> CustomerState:
        """The customer's state, with the record's language where that was worth asking for. Never fails."""
        known, whose = snapshot.customer_state, snapshot.conversation
        now = self._clock.now()
        if snapshot.source == "journal":
            return known  # SQL is down, and may be the directory
        is_fresh = known.record_read_at is not None and now - known.record_read_at < _ASK_AGAIN_AFTER
        if (
            is_fresh
            or whose.customer_id.startswith(VISITOR_CUSTOMER_PREFIX)
            or not names_no_language(snapshot)
        ):
            return known
        return await self._asked(known, whose.tenant, whose.customer_id, now)

    async def _asked(
        self, known: CustomerState, tenant: str, customer_id: str, now: datetime
    ) -> CustomerState:
        """A directory that is slow or away is not waited for again before the day is over; what it said last stays."""
        try:
            customer = await self._guard.run(
                lambda: self._directory.customer(tenant, customer_id),
                deadline=Deadline(self._clock, _LONGEST_SECONDS),
                may_repeat=False,
            )
        except CarelineError:
            return msgspec.structs.replace(known, record_read_at=now)
        locale = (customer.locale or "").strip()
        return msgspec.structs.replace(
            known,
            locale_on_record=locale.replace("_", "-") if _LOCALE.fullmatch(locale) else None,
            record_read_at=now,
        )
