"""
Keep why turns were answered as they were: redacted, in batches, beside the turns and never in their way. Where it is wanted, what
tools and models answered to them is kept, too, as it was.

What cannot be stored waits a while and is then given up: an explanation is worth less than the turn that it explains.
"""

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any, Protocol

import msgspec

from core.clock import Clock
from core.errors import CarelineError, DataIntegrityFailed
from core.explanation import Explanation, KeptExplanation, TurnExplanation, TurnRecording
from core.telemetry.logging import get_logger
from core.telemetry.redaction import needs_no_redaction, redacted

_EVERY_SECONDS = 1.0
_MOST_WAITING = 2000
"""About a minute of a busy replica, some 10 MB."""
_AT_ONCE = 100
_MOST_BYTES = 64 * 1024
_MOST_RECORDED_BYTES = 512 * 1024
_SHORT_BYTES = 8 * 1024
_OWN_NAMES = re.compile('"(?:prompt|completion)_tokens":')
"""Of facts, that look like secrets' names."""

_log = get_logger(__name__)


class ExplanationStore(Protocol):
    async def keep(self, explanations: Sequence[KeptExplanation]) -> None:
        """One that stands already stays as it is."""
        ...

    async def explanation(self, tenant: str, turn_id: str) -> bytes | None: ...


class Explanations:
    """
    Implements `agent.turn.pipeline.Explanations`, and tells operators what was kept. `recordings` is where answers of tools and
    models go, None where they are not kept; `explains` is false where that is all that is kept.
    """

    def __init__(
        self,
        store: ExplanationStore,
        *,
        clock: Clock,
        explains: bool = True,
        recordings: ExplanationStore | None = None,
    ) -> None:
        self._store = store
        self._recordings = recordings
        self._explains = explains
        self._clock = clock
        self._waiting: deque[tuple[str, str, datetime, Explanation]] = deque(maxlen=_MOST_WAITING)

    def begin(self) -> Explanation:
        return Explanation(self._clock, is_recorded=self._recordings is not None)

    def keep(self, tenant: str, turn_id: str, explanation: Explanation) -> None:
        if len(self._waiting) == _MOST_WAITING:
            _log.warning("explanations.given_up", turn_id=self._waiting[0][1])
        self._waiting.append((tenant, turn_id, self._clock.now(), explanation))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            await self.store_waiting()

    async def store_waiting(self) -> None:
        """All that waits, or as much as the store takes."""
        while self._waiting:
            batch = list(self._waiting)[:_AT_ONCE]
            try:
                if self._explains:
                    await self._store.keep(
                        [
                            KeptExplanation(tenant, turn, _encoded(at, each))
                            for tenant, turn, at, each in batch
                        ]
                    )
                if self._recordings is not None:
                    await self._recordings.keep(
                        [KeptExplanation(tenant, turn, _recording(each)) for tenant, turn, _, each in batch]
                    )
            except CarelineError as exc:
                _log.debug("explanations.wait", error=type(exc).__name__)
                return
            stored = {id(explanation) for *_, explanation in batch}
            while self._waiting and id(self._waiting[0][3]) in stored:
                self._waiting.popleft()

    async def leave(self, seconds: float) -> None:
        """Store what waits, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                await self.store_waiting()
        except TimeoutError:
            _log.debug("explanations.left_behind", turns=len(self._waiting))

    async def of_turn(self, tenant: str, turn_id: str) -> TurnExplanation | None:
        """
        None where none was kept: it is too old, or its replica ended at once after the turn.

        Raises:
            DependencyUnavailable, DependencyTimeout: the store cannot be asked.
            DataIntegrityFailed: what is stored cannot be read.
        """
        await self.store_waiting()  # an operator may ask about the turn before the last second
        body = await self._store.explanation(tenant, turn_id)
        return None if body is None else _decoded(body)


def _decoded(body: bytes) -> TurnExplanation:
    try:
        return msgspec.msgpack.decode(body, type=TurnExplanation)
    except msgspec.DecodeError as exc:
        raise DataIntegrityFailed("a stored explanation cannot be read") from exc


def _encoded(at: datetime, explanation: Explanation) -> bytes:
    steps = [{"kind": step.kind, "at_ms": step.at_ms, **step.facts} for step in explanation.steps]
    if not _is_harmless(steps):
        steps = [redacted(step, keeps_words=True) for step in steps]
    kept = TurnExplanation(noted_at=at, steps=tuple(steps), left_out=explanation.left_out)
    body = msgspec.msgpack.encode(kept)
    return body if len(body) <= _MOST_BYTES else msgspec.msgpack.encode(_cut(kept))


def _recording(explanation: Explanation) -> bytes:
    """As many calls from the beginning as there is room for."""
    kept: list[dict[str, Any]] = []
    size = 0
    calls = explanation.recorded or []
    for call in calls:
        plain = msgspec.to_builtins(call, enc_hook=str)
        size += len(msgspec.msgpack.encode(plain))
        if size > _MOST_RECORDED_BYTES:
            break
        kept.append(plain)
    return msgspec.msgpack.encode(
        TurnRecording(
            versions={"careline": version("careline"), **explanation.versions},
            calls=tuple(kept),
            left_out=len(calls) - len(kept),
        )
    )


def _is_harmless(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Short, and without anything that looks like an address, a number or a secret: most are."""
    try:
        written = msgspec.json.encode(steps)
    except (TypeError, ValueError):  # not all plain values: redaction makes them so
        return False
    return len(written) <= _SHORT_BYTES and needs_no_redaction(_OWN_NAMES.sub("", written.decode()))


def _cut(explanation: TurnExplanation) -> TurnExplanation:
    """As many steps from the beginning as there is room for."""
    kept: list[dict[str, Any]] = []
    size = 0
    for step in explanation.steps:
        size += len(msgspec.msgpack.encode(step))
        if size > _MOST_BYTES:
            break
        kept.append(step)
    left_out = explanation.left_out + len(explanation.steps) - len(kept)
    return msgspec.structs.replace(explanation, steps=tuple(kept), left_out=left_out)
