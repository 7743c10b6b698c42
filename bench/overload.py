"""
What becomes of the service when more is asked than it can answer: `python -m bench.overload [SECONDS]`.

First the peak, by as many askers as fit; then 2.5 times that rate, open loop: each message is sent at its time, whatever became
of those before it; then a tenth of the peak, to see how soon all is well again.
"""

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.careline_process import CarelineProcess

_ASKERS = 12
_OVERLOAD = 2.5
_USEFUL_SECONDS = 5.0
"""An answer that comes later is taken for none."""

_SETTINGS = {"rate_limit_per_customer": "0", "log_level": "error"}
_numbers = itertools.count()


@dataclass
class Outcome:
    """
    Seconds that answers and refusals took, and what was neither; `troubled_until` is when the last that was no answer ended,
    counted from the beginning.
    """

    answers: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    troubled_until: float = 0.0
    began: float = field(default_factory=time.perf_counter)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with next to no work: what asks must not take the processor from what answers."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0]):
            self._received = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Askers:
    """As many connections as messages are under way; each is used again."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._all:
            connection.close()

    async def ask(self, outcome: Outcome) -> None:
        number = next(_numbers)
        body = json.dumps(
            {
                "message": "Hello, what can you do?",
                "customer_id": f"c{number}",
                "client_message_id": f"m{number}",
            }
        )
        began = time.perf_counter()
        try:
            status = await self._status(
                f"POST /v1/chat HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
        except OSError as exc:
            outcome.others.append(type(exc).__name__)
            outcome.troubled_until = time.perf_counter() - outcome.began
            return
        ended = time.perf_counter()
        if status == 200:
            outcome.answers.append(ended - began)
            return
        outcome.troubled_until = ended - outcome.began
        if status == 503:
            outcome.refusals.append(ended - began)
        else:
            outcome.others.append(str(status))

    def _waiting(self) -> _Connection | None:
        """The service closes what has waited for long."""
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
        return None

    async def _status(self, request: bytes) -> int:
        connection = self._waiting()
        if connection is None:
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, self._host, self._port
            )
            self._all.append(connection)
        status = await connection.ask(request)
        self._idle.append(connection)
        return status


async def peak(url: str, seconds: float) -> float:
    """Answers a second."""
    outcome = Outcome()
    async with Askers(url) as askers:

        async def work() -> None:
            while time.perf_counter() < outcome.began + seconds:
                await askers.ask(outcome)

        await asyncio.gather(*(work() for _ in range(_ASKERS)))
    return len(outcome.answers) / (time.perf_counter() - outcome.began)


async def offered(url: str, *, rate: float, seconds: float) -> Outcome:
    """`rate` messages a second, each at its time."""
    async with Askers(url) as askers, asyncio.TaskGroup() as group:
        outcome = Outcome()
        for n in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, outcome.began + n / rate - time.perf_counter()))
            group.create_task(askers.ask(outcome))
    return outcome


async def measure(url: str, *, seconds: float) -> dict[str, float]:
    await peak(url, 2.0)  # warm
    before = await peak(url, seconds / 2)
    over = await offered(url, rate=_OVERLOAD * before, seconds=seconds)
    after = await offered(url, rate=before / 10, seconds=3.0)
    most = (
        before + await peak(url, seconds / 2)
    ) / 2  # around the overload, on a machine that others use too
    useful = sum(took <= _USEFUL_SECONDS for took in over.answers) / seconds
    return {
        "peak_per_second": most,
        "useful_per_second": useful,
        "useful_share": useful / most,
        "refusal_p50_ms": 1000 * _quantile(over.refusals, 50),
        "refusal_p99_ms": 1000 * _quantile(over.refusals, 99),
        "neither": len(over.others),
        "recovered_seconds": after.troubled_until,
        "answer_after_p99_ms": 1000 * _quantile(after.answers, 99),
    }


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder, CarelineProcess(Path(folder), _SETTINGS) as service:
        for name, value in asyncio.run(measure(service.url, seconds=seconds)).items():
            print(f"{name:20} {value:9.2f}")


if __name__ == "__main__":
    main()
