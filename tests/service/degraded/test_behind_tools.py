"""Claims about the service while what stands behind one tool is away: each takes only its own feature with it."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.careline_process import CarelineProcess
from tests.servers import PostgresServer, free_port
from tests.service.degraded.stage import REFUND, load_customers, own_postgres
from tests.service.degraded.talk import Service, missing
from tests.smtp_server import MailServer
from tests.timing import assert_within

SUBJECT = "The strap of my helmet is broken"
DESCRIPTION = "It came off on the first ride, and I would like a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A service whose every dependency can be taken away by itself."""

    careline: CarelineProcess
    tickets: PostgresServer
    customers: PostgresServer
    mail_port: int

    @property
    def index(self) -> Path:
        return self.careline.folder / "careline-data" / "knowledge" / "default"


@pytest.fixture(scope="module")
def shop(furnished: Path) -> Iterator[Shop]:
    mail_port = free_port()
    with own_postgres() as tickets, own_postgres() as customers:
        settings = {
            "tickets_database_url": tickets.url(),
            "customers_database_url": customers.url(),
            "smtp_url": f"smtp://127.0.0.1:{mail_port}",
            "smtp_sender": "help@shop.example",
        }
        with CarelineProcess(furnished, settings) as careline:
            load_customers(customers.url())
            yield Shop(careline=careline, tickets=tickets, customers=customers, mail_port=mail_port)


@pytest.fixture
async def mail(shop: Shop) -> AsyncIterator[MailServer]:
    """Entered, and to be left by whoever wants to see it gone."""
    server = MailServer()
    server.port = shop.mail_port
    async with server:
        yield server


@pytest.fixture
async def service(shop: Shop, mail: MailServer, talk_to: Callable[[CarelineProcess], Service]) -> Service:
    """Nothing is missing when a test begins."""
    service = talk_to(shop.careline)
    shop.tickets.start()
    shop.customers.resume()
    if shop.index.is_file():
        shop.index.unlink()
    await service.is_whole_again()
    return service


async def test_without_the_index_searching_is_refused_and_everything_else_goes_on(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_01")
    shutil.rmtree(shop.index)
    shop.index.write_text("a file where the rebuild needs a folder")

    answer = await customer.say(REFUND)
    order = await customer.hears("Where is my order QC204918?")
    await customer.say("Please open a ticket")
    await customer.say(SUBJECT)
    ticket = await customer.say(DESCRIPTION)
    handoff = await service.customer("cus_02").say("I want to talk to a person")
    seen = await service.shows_down("knowledge")

    assert answer["reply"]["text"].startswith(
        "I cannot search our help articles at the moment, and I will not guess."
    )
    assert answer["reply"]["citations"] == []
    assert missing(answer) == [("knowledge_search", "knowledge")]
    assert "QC204918" in order
    assert [action["status"] for action in ticket["actions"]] == ["succeeded"]
    assert handoff["status"] == "handed_over"
    assert (seen.code, seen.status) == (200, "degraded")

    shop.index.unlink()
    await service.is_whole_again()
    answer = await customer.say(REFUND)

    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert missing(answer) == []


@pytest.mark.alone
async def test_without_the_desk_a_ticket_has_its_receipt_at_once_and_is_opened_once_later(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_02")
    shop.tickets.kill()

    await customer.say("Please open a ticket")
    await customer.say(SUBJECT)
    answer = await customer.say(DESCRIPTION)
    seconds = customer.seconds
    article = await customer.say(REFUND)
    seen = await service.shows_down("tickets")

    (action,) = answer["actions"]
    assert (action["tool"], action["status"], action["reference"]) == ("open_ticket", "queued", None)
    assert action["receipt"].startswith("R-")
    assert f"its receipt number is {action['receipt']}" in answer["reply"]["text"]
    assert missing(answer) == [("tickets", "tickets")]
    assert_within(seconds, 2.0)
    assert missing(article) == []
    assert (seen.code, seen.status) == (200, "degraded")

    shop.tickets.start()
    told = await customer.is_told(action["receipt"])
    await service.is_whole_again()

    assert _tickets_of("cus_02", shop.tickets) == [(action["receipt"], SUBJECT, DESCRIPTION)]
    assert told.startswith(f"Your request {action['receipt']} is now ticket T-")
    listed = await customer.say("What is the status of my tickets?")
    assert SUBJECT in listed["reply"]["text"]
    assert missing(listed) == []


@pytest.mark.alone
async def test_with_a_silent_directory_nothing_is_guessed_and_questions_are_answered(
    shop: Shop, service: Service
) -> None:
    customer = service.customer("cus_01")
    shop.customers.pause()

    answer = await customer.say("Where is my order QC204918?")
    seconds = customer.seconds
    article = await customer.say(REFUND)
    seen = await service.shows_down("customers")

    assert "QC204918" not in answer["reply"]["text"]
    assert "BX7731900421GB" not in answer["reply"]["text"]
    assert answer["reply"]["text"].startswith("Looking up your account takes too long right now.")
    assert missing(answer) == [("customer_info", "customers")]
    assert_within(seconds, 2.0)
    assert article["reply"]["citations"][0]["title"] == REFUND
    assert missing(article) == []
    assert (seen.code, seen.status) == (200, "degraded")

    shop.customers.resume()
    await service.is_whole_again()
    answer = await customer.say("Where is my order QC204918?")

    assert "BX7731900421GB" in answer["reply"]["text"]
    assert missing(answer) == []


async def test_without_the_mail_server_a_message_is_kept_shown_and_sent_once_later(
    shop: Shop, service: Service, mail: MailServer
) -> None:
    customer = service.customer("cus_01")
    await mail.__aexit__(None, None, None)

    await customer.say(REFUND)
    answer = await customer.say("Please send me that by e-mail")
    article = await customer.say(REFUND)
    seen = await service.shows_down("notifications")

    (action,) = answer["actions"]
    assert (action["tool"], action["status"]) == ("notify", "queued")
    assert f"kept under receipt number {action['receipt']}" in answer["reply"]["text"]
    assert missing(answer) == [("notifications", "notifications")]
    assert mail.messages == []
    assert missing(article) == []
    assert (seen.code, seen.status) == (200, "degraded")

    await mail.__aenter__()
    told = await customer.is_told(action["receipt"])
    await service.is_whole_again()

    assert told.endswith("has been sent to you.")
    assert len(mail.messages) == 1
    assert b"To: mara.linden@mail.example" in mail.messages[0]


def _tickets_of(customer_id: str, desk: PostgresServer) -> list[tuple[str, str, str]]:
    with desk.connection() as connection:
        return connection.execute(
            "SELECT receipt, subject, description FROM tickets WHERE customer_id = %s", (customer_id,)
        ).fetchall()
