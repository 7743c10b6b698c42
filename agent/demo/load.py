"""
Bring the invented shop into an empty service; where it is there already, look and leave it.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from agent.demo import shop
from core.errors import NotFound
from core.identity import DEFAULT_TENANT
from core.records import Customer
from tools.knowledge.ingest import IngestReport, Progress
from tools.ports import TicketDesk

_SOURCE = "demo"


class CustomerRecords(Protocol):
    async def customer(self, tenant: str, customer_id: str) -> Customer:
        """Raises NotFound."""
        ...

    async def put_customer(self, tenant: str, customer: Customer) -> None: ...


class ArticleIngestion(Protocol):
    async def run(
        self,
        paths: Sequence[Path],
        tenant: str,
        progress: Progress | None = None,
        *,
        source: str | None = None,
    ) -> IngestReport: ...


async def load_shop(
    *,
    directory: CustomerRecords,
    desk: TicketDesk,
    ingestion: ArticleIngestion,
    now: datetime,
    tenant: str = DEFAULT_TENANT,
    progress: Progress | None = None,
) -> IngestReport:
    """
    Customers, orders and tickets once, articles as far as they changed.

    An interrupted load is completed by the next one. Orders keep the dates that they got in the first.
    """
    customers = shop.customers(now)
    try:
        await directory.customer(tenant, customers[-1].customer_id)
    except NotFound:
        for ticket in shop.tickets():
            await desk.open_ticket(tenant, ticket)
        for customer in customers:  # in order, so that the last one stands for all
            await directory.put_customer(tenant, customer)
    return await ingestion.run([shop.ARTICLES], tenant, progress, source=_SOURCE)
