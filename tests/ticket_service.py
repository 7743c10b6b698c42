"""
The ticket service of `tests.ticket_server` as a test holds it: a process that can be killed, and the adapter that speaks to it.
"""

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from core.http import make_client, raise_for_answer, translate
from core.records import NewTicket, Recognition, Ticket, TicketStatus
from tests.servers import free_port

_SERVER = Path(__file__).with_name("ticket_server.py")
_START_SECONDS = 20.0


class TicketService:
    """The process. What it has written outlives it."""

    def __init__(self, folder: Path, mode: str, *, seed: int = 1) -> None:
        self.port = free_port()
        self.file = folder / "tickets.db"
        self._mode = mode
        self._seed = seed
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns once it answers."""
        arguments = (str(self.port), str(self.file), self._mode, str(self._seed + self.kills))
        self._process = subprocess.Popen([sys.executable, str(_SERVER), *arguments])
        ends_at = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/alive", timeout=1.0).status_code == 200:
                    return
            assert time.monotonic() < ends_at, "the ticket service did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.kills += 1

    def tickets_per_key(self) -> dict[str, int]:
        with contextlib.closing(sqlite3.connect(self.file)) as connection:
            return dict(connection.execute("SELECT external, count(*) FROM tickets GROUP BY external"))


class HttpTicketDesk:
    """Implements `tools.ports.TicketDesk` with the least that a connector needs."""

    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, url: str, recognition: Recognition, *, timeout_seconds: float) -> None:
        self.recognition = recognition
        self._client = make_client("tickets", base_url=url, timeout_seconds=timeout_seconds)

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        wanted = {
            "tenant": tenant,
            "external": ticket.key,
            "receipt": ticket.receipt,
            "customer": ticket.customer_id,
            "subject": ticket.subject,
            "description": ticket.description,
        }
        return _ticket(await self._ask("POST", "/tickets", json=wanted))

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        found = await self._ask("GET", "/tickets", params={"tenant": tenant, "external": key})
        return _ticket(found[0]) if found else None

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        found = await self._ask("GET", "/tickets", params={"tenant": tenant, "customer": customer_id})
        return tuple(_ticket(each) for each in found[:limit])

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **how: Any) -> Any:
        try:
            response = await self._client.request(method, path, **how)
        except httpx.HTTPError as exc:
            raise translate("tickets", exc) from exc
        raise_for_answer("tickets", response)
        return response.json()


def _ticket(told: dict[str, Any]) -> Ticket:
    opened_at = datetime.fromisoformat(told["opened_at"])
    return Ticket(
        reference=f"#{told['number']}",
        receipt=told["receipt"],
        customer_id=told["customer"],
        subject=told["subject"],
        description=told["description"],
        status=TicketStatus.OPEN,
        created_at=opened_at,
        updated_at=opened_at,
    )
