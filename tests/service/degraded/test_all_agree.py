"""One outage, driven through the service: /readyz, the metrics, the events in the log and the reply tell the same of it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from core.resilience.degraded_wording import degraded_sentence
from tests.careline_process import CarelineProcess
from tests.servers import PostgresServer
from tests.service.degraded.stage import own_postgres
from tests.service.degraded.talk import Customer, Service, eventually

CONTACT = "help@shop.example"
SUBJECT = "The strap of my helmet is broken"
DESCRIPTION = "It came off on the first ride, and I would like a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    careline: CarelineProcess
    tickets: PostgresServer


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with own_postgres() as tickets:
        settings = {"tickets_database_url": tickets.url(), "contact_address": CONTACT}
        with CarelineProcess(tmp_path_factory.mktemp("shop"), settings) as careline:
            yield Shop(careline=careline, tickets=tickets)


class Witnesses:
    """The four who tell of an outage."""

    def __init__(self, shop: Shop, service: Service) -> None:
        self._log = shop.careline.log
        self._heard = len(self._log.read_text("utf-8"))
        self._client = service.client

    async def readyz(self) -> dict[str, Any]:
        dependencies: dict[str, dict[str, Any]] = (await self._client.get("/readyz")).json()["dependencies"]
        return dependencies["tickets"]

    async def metrics(self) -> dict[str, float]:
        lines = (await self._client.get("/metrics")).text.splitlines()
        samples = dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {
            "up": float(samples['careline_dependency_up{dependency="tickets"}']),
            "sql_up": float(samples['careline_dependency_up{dependency="sql"}']),
            "degraded": float(
                samples.get('careline_turns_total{brain="embedded",degraded="yes",status="answered"}', 0)
            ),
        }

    def events(self) -> list[dict[str, Any]]:
        """Since the test began."""
        log = self._log.read_text("utf-8")[self._heard :]
        said = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        return [line for line in said if line["event"].startswith("dependency.")]


async def ask_for_a_ticket(customer: Customer) -> dict[str, Any]:
    await customer.say("Please open a ticket")
    await customer.say(SUBJECT)
    await customer.say(DESCRIPTION)
    return await customer.say("kim@shop.example")  # who is in no directory is asked


@pytest.mark.parametrize("locale", ["en", "ar"])
async def test_readyz_metrics_events_and_the_reply_agree_on_an_outage_and_its_end(
    shop: Shop, talk_to: Callable[[CarelineProcess], Service], locale: str
) -> None:
    service = talk_to(shop.careline)
    await service.is_whole_again()
    witnesses = Witnesses(shop, service)
    before = (await witnesses.readyz(), await witnesses.metrics(), witnesses.events())

    shop.tickets.kill()
    seen = await service.shows_down("tickets")
    during = await ask_for_a_ticket(service.customer(f"cus_{locale}_1", locale=locale))
    readyz, metrics, events = await witnesses.readyz(), await witnesses.metrics(), witnesses.events()

    assert (before[0]["state"], before[1]["up"], before[2]) == ("up", 1.0, [])
    (part,) = during["degraded"]
    assert (readyz["state"], metrics["up"], metrics["sql_up"]) == ("down", 0.0, 1.0)
    assert seen.down == {"tickets"}
    assert [(event["event"], event["dependency"]) for event in events] == [
        ("dependency.went_down", "tickets")
    ]
    assert (part["feature"], part["dependency"]) == ("tickets", "tickets")
    assert datetime.fromisoformat(part["since"]) == datetime.fromisoformat(readyz["since"])
    assert part["message"] == degraded_sentence("tickets", "tickets", locale, contact=CONTACT)
    assert metrics["degraded"] - before[1]["degraded"] == 1.0
    assert [action["status"] for action in during["actions"]] == ["queued"]

    shop.tickets.start()
    await service.is_whole_again()
    after = await ask_for_a_ticket(service.customer(f"cus_{locale}_2", locale=locale))

    async def came_back() -> list[str]:
        names = [event["event"] for event in witnesses.events()]
        return names if names[-1] == "dependency.came_back" else []

    assert await eventually(came_back) == ["dependency.went_down", "dependency.came_back"]
    assert ((await witnesses.readyz())["state"], (await witnesses.metrics())["up"]) == ("up", 1.0)
    assert (after["degraded"], [action["status"] for action in after["actions"]]) == ([], ["succeeded"])
