"""
The invented shop is whole, agrees with itself, and is loaded once.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.bootstrap import open_careline
from agent.demo import shop
from agent.demo.load import load_shop
from agent.turn.inputs import ChatRequest, Finished
from core.errors import NotFound
from core.identity import Caller, CallerKind
from core.ids import new_id
from core.records import Customer, NewTicket, Recognition, Ticket, TicketStatus
from core.settings import Settings
from tools.knowledge.ingest import IngestReport, Progress

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Company:
    """Directory, desk and ingestion in one; `fails_at` is the number of the write that goes wrong."""

    recognition = Recognition.KEY
    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.tickets: dict[str, NewTicket] = {}
        self.ingested: list[tuple[Sequence[Path], str | None]] = []
        self.writes = 0
        self.fails_at: int | None = None

    def _write(self) -> None:
        self.writes += 1
        if self.writes == self.fails_at:
            raise ConnectionError

    async def customer(self, tenant: str, customer_id: str) -> Customer:
        if customer_id not in self.customers:
            raise NotFound
        return self.customers[customer_id]

    async def put_customer(self, tenant: str, customer: Customer) -> None:
        self._write()
        self.customers[customer.customer_id] = customer

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        self._write()
        self.tickets[ticket.key] = ticket
        return Ticket(
            reference="1",
            receipt=ticket.receipt,
            customer_id=ticket.customer_id,
            subject=ticket.subject,
            description=ticket.description,
            status=TicketStatus.OPEN,
            created_at=NOW,
            updated_at=NOW,
        )

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        return None

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        return ()

    async def run(
        self,
        paths: Sequence[Path],
        tenant: str,
        progress: Progress | None = None,
        *,
        source: str | None = None,
    ) -> IngestReport:
        self.ingested.append((paths, source))
        return IngestReport()

    async def load(self) -> None:
        await load_shop(directory=self, desk=self, ingestion=self, now=NOW)


def test_every_article_has_a_title_a_page_and_a_readable_length() -> None:
    files = sorted(path.stem for path in shop.ARTICLES.glob("*.md"))
    articles = shop.articles()

    assert [article.article_id for article in articles] == files
    assert len(articles) >= 40
    assert len({article.title for article in articles}) == len(articles)
    for article in articles:
        assert article.url == f"/help/{article.article_id}"
        assert article.category
        assert 70 <= len(article.body.split()) <= 300, article.article_id


def test_articles_agree_on_prices_and_addresses() -> None:
    bodies = "\n".join(article.body for article in shop.articles())

    assert set(re.findall(r"[\w.]+@[\w.]+\w", bodies)) == {shop.CONTACT, "privacy@quillmere.example"}
    assert set(re.findall(r"01632 960 \d+", bodies)) == {"01632 960 140"}
    assert set(re.findall(r"\d+ Weir Lane", bodies)) == {"14 Weir Lane"}
    assert set(re.findall(r"tandard delivery\D*(£[\d.]+\d)", bodies.replace("2 to 3", ""))) == {"£4.50"}


def test_orders_and_tickets_belong_to_customers_of_the_shop() -> None:
    customers = shop.customers(NOW)
    orders = [order for customer in customers for order in customer.orders]

    assert len(customers) == 20
    assert len({order.order_id for order in orders}) == len(orders)
    assert all(order.placed_at <= NOW for order in orders)
    assert all(customer.email and customer.email.endswith(".example") for customer in customers)
    assert {ticket.customer_id for ticket in shop.tickets()} <= {
        customer.customer_id for customer in customers
    }
    assert len({ticket.receipt for ticket in shop.tickets()}) == len(shop.tickets())


def test_there_are_eight_questions_to_suggest() -> None:
    assert len(shop.questions()) == 8


async def test_a_second_start_writes_nothing() -> None:
    company = Company()
    await company.load()
    writes = company.writes

    await company.load()

    assert company.writes == writes == 20 + len(shop.tickets())
    assert company.ingested == [([shop.ARTICLES], "demo")] * 2


@pytest.mark.parametrize("fails_at", [1, 8, 9, 28])
async def test_an_interrupted_load_is_completed_by_the_next(fails_at: int) -> None:
    company = Company()
    company.fails_at = fails_at
    with pytest.raises(ConnectionError):
        await company.load()

    await company.load()

    assert len(company.customers) == 20
    assert len(company.tickets) == len(shop.tickets())


ANSWERS = {
    "How long does delivery take?": "takes 2 to 3 working days",
    "How do I return a bicycle?": "within 30 days of delivery:\n1. Tell us",
    "Where is my order?": "Order QC",
    "My parcel arrived damaged": "please tell us within 7 days of delivery and send us:\n1. Your order number.",
    "How should I store my e-bike battery in winter?": "In winter, store the battery indoors",
    "Can I pause the Workshop Plan?": "You can pause the Workshop Plan",
    "I'd like to open a ticket about a creaking bottom bracket": "Please describe what happened",
    "Can I talk to a person?": "a member of our team",
    "my parcel arrived damaged, what do I do?": "send us:\n1. Your order number.",
    "what are your opening hours": "Monday to Friday 9:30 to 18:00",
    "what tyre pressure for 40 mm tyres": "40 mm tyres: 2.8 bar",
    "is there a recall on the kingfisher": "not recalled",
    "where are you": "14 Weir Lane",
    "where is your shop?": "14 Weir Lane",
    "what is your address": "14 Weir Lane",
    "what is your phone number": "01632 960 140",
    "what does the workshop plan include": "two basic services a year",
    "my parcel is missing": "Look at the tracking page",
    "what size helmet do I need": "Size M: 55 to 58 cm",
}


async def test_what_the_page_suggests_and_newcomers_ask_is_answered(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "knowledge", database_url=f"sqlite+aiosqlite:///{tmp_path / 'demo.db'}"
    )
    caller = Caller(kind=CallerKind.LOCAL, customer_id=shop.customers(NOW)[0].customer_id)
    said = {}
    async with open_careline(settings) as careline:
        await load_shop(
            directory=careline.records.customers,
            desk=careline.records.tickets,
            ingestion=careline.ingestion,
            now=careline.clock.now(),
        )
        for question in ANSWERS:
            request = ChatRequest(
                caller=caller,
                message=question,
                conversation_id=None,
                client_message_id=new_id("cm"),
                locale=None,
                channel="terminal",
            )
            submission = await careline.turns.submit(request)
            async for _, event in careline.turns.events(caller.tenant, submission.turn_id):
                if (
                    isinstance(event, Finished)
                    and event.result is not None
                    and event.result.reply is not None
                ):
                    said[question] = event.result.reply.text

    assert set(shop.questions()) <= set(ANSWERS)
    assert {question: text for question, text in said.items() if ANSWERS[question] not in text} == {}
    assert said.keys() == ANSWERS.keys()
