"""
Claims about Careline's own tools at `/mcp`, asked with the MCP library's own client of a service that runs as its users run it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from core.clock import SystemClock
from core.http_mcp import make_mcp_client
from core.records import NewTicket
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from state.sql.tickets import SqlTicketDesk
from tests.careline_process import CarelineProcess
from tests.data import shared
from tests.security.test_tool_authorisation import (
    CASES,
    NEAREST,
    OURS,
    REQUIRED,
    TICKET_OF_B,
    A,
    B,
    secrets_of_b,
)

SHOP = "0123456789abcdef-shop"
OTHER = "fedcba9876543210-other"
TICKET = {"subject": "My lamp stays dark", "description": "It does not turn on since yesterday evening."}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarelineProcess]:
    settings = {
        "mcp_serve": "true",
        "api_keys": f"shop:{SHOP},other:{OTHER}:tenant_b",
        "rate_limit_per_customer": "0",
    }
    with CarelineProcess(tmp_path_factory.mktemp("service"), settings) as process:
        asyncio.run(_fill(process.folder))
        yield process


async def _fill(folder: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{folder / 'careline.db'}", timeout_seconds=5.0)
    directory = SqlCustomerDirectory(database)
    for customer in (A, B):
        await directory.put_customer("default", customer)
    await SqlTicketDesk(database, clock=SystemClock()).open_ticket(
        "default", NewTicket("key_b", "R-B", B.customer_id, "conv_b", TICKET_OF_B, f"{TICKET_OF_B}, really.")
    )
    await database.close()


@contextlib.asynccontextmanager
async def client(
    service: CarelineProcess, *, key: str | None = SHOP, mode: str = "auto", **headers: str
) -> AsyncIterator[Client]:
    credentials = {"Authorization": f"Bearer {key}"} if key else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        make_mcp_client(
            "tests", timeout_seconds=20.0, connect_seconds=2.0, headers={**credentials, **named}
        ) as http,
        Client(
            streamable_http_client(f"{service.url}/mcp", http_client=http), mode=mode, cache=None
        ) as connected,
    ):
        yield connected


def meta(customer: str | None = A.customer_id, key: str | None = None) -> Any:
    said = {"careline/customer-id": customer, "careline/idempotency-key": key}
    return {name: value for name, value in said.items() if value is not None}


async def call(
    connected: Client,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    customer: str | None = A.customer_id,
    key: str | None = None,
) -> CallToolResult:
    return await connected.call_tool(tool, dict(arguments), meta=meta(customer, key))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_clients_of_both_generations_of_the_protocol_find_and_call_the_tools(
    service: CarelineProcess, mode: str
) -> None:
    async with client(service, mode=mode) as connected:
        listed = await connected.list_tools()
        found = await call(connected, "search_knowledge", {"query": "returns"}, customer=None)

    by_name = {tool.name: tool for tool in listed.tools}
    assert set(by_name) == {"search_knowledge", "customer_info", "find_tickets", "open_ticket", "notify"}
    assert by_name["open_ticket"].input_schema["required"] == ["subject", "description"]
    assert by_name["open_ticket"].annotations is not None
    assert by_name["open_ticket"].annotations.read_only_hint is False
    assert found.structured_content is not None


async def test_the_customer_is_named_in_meta_or_a_header_and_gets_what_is_theirs(
    service: CarelineProcess,
) -> None:
    async with client(service) as connected:
        by_meta = await call(connected, "customer_info", {})
    async with client(service, X_Customer_Id=A.customer_id) as connected:
        by_header = await call(connected, "customer_info", {}, customer=None)
        with pytest.raises(MCPError, match="customer-id"):
            await call(connected, "customer_info", {}, customer=B.customer_id)

    assert by_meta.structured_content["value"]["profile"]["name"] == A.name
    assert by_header.structured_content["value"] == by_meta.structured_content["value"]


async def test_without_a_customer_nobodys_account_can_be_seen(service: CarelineProcess) -> None:
    async with client(service) as connected:
        outcome = await call(connected, "customer_info", {}, customer=None)

    assert outcome.is_error
    assert outcome.structured_content["error_type"] == "permission_denied"


async def test_another_tenants_key_sees_no_customer_of_this_one(service: CarelineProcess) -> None:
    async with client(service, key=OTHER) as connected:
        outcome = await call(connected, "customer_info", {})

    assert outcome.is_error
    assert outcome.structured_content["reason"] == "not_found"


@pytest.mark.parametrize("key", [None, "not-a-key-of-anybody"])
def test_without_a_valid_key_there_is_nothing_but_401(service: CarelineProcess, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}

    answer = httpx.post(f"{service.url}/mcp", json=request, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == "authentication_failed"


async def test_the_same_key_opens_one_ticket_and_another_key_another(service: CarelineProcess) -> None:
    async with client(service) as connected:
        first = await call(connected, "open_ticket", TICKET, key="order-17")
        again = await asyncio.gather(
            *(call(connected, "open_ticket", TICKET, key="order-17") for _ in range(5))
        )
        alike = {**TICKET, "subject": "My lamp is blue"}
        asked = await call(connected, "open_ticket", alike, key="order-18")
        other = await call(connected, "open_ticket", {**alike, "is_another": True}, key="order-19")
        found = await call(connected, "find_tickets", {})

    assert not first.is_error
    assert (asked.is_error, asked.structured_content["reason"]) == (True, "similar")
    assert {each.structured_content["reference"] for each in again} == {first.structured_content["reference"]}
    assert other.structured_content["reference"] != first.structured_content["reference"]
    subjects = [ticket["subject"] for ticket in found.structured_content["value"]["tickets"]]
    assert sorted(subjects) == ["My lamp is blue", "My lamp stays dark"]


@pytest.mark.parametrize(
    ("tool", "arguments", "changed"),
    [
        ("open_ticket", TICKET, {"description": "It burns, and I want another one."}),
        ("notify", {"subject": "Your lamp", "body": "It is on its way."}, {"body": "It is not on its way."}),
    ],
)
async def test_the_same_key_with_other_arguments_is_refused_and_carries_out_nothing(
    service: CarelineProcess, tool: str, arguments: dict[str, Any], changed: dict[str, Any]
) -> None:
    async with client(service) as connected:
        first = await call(connected, tool, arguments, key="reused")
        other = await call(connected, tool, {**arguments, **changed}, key="reused")
        again = await call(connected, tool, dict(reversed(arguments.items())), key="reused")

    assert other.is_error
    assert other.structured_content["reason"] == "idempotency_key_conflict"
    assert other.structured_content["error_type"] == "invalid_input"
    assert "other arguments" in other.structured_content["summary"]
    assert "receipt" not in other.structured_content
    assert again.structured_content["summary"] == first.structured_content["summary"]


async def test_wrong_arguments_are_an_error_of_the_tool_that_names_each(service: CarelineProcess) -> None:
    async with client(service) as connected:
        outcome = await call(connected, "open_ticket", {"subject": 7, "customer_id": B.customer_id})

    assert outcome.is_error
    assert outcome.structured_content["error_type"] == "validation_error"
    named = {field["field"] for field in outcome.structured_content["value"]["fields"]}
    assert {"subject", "description", "customer_id"} <= named


@pytest.mark.parametrize("tool", ["handoff", "no_such_tool", "customer_info; drop", ""])
async def test_what_is_not_served_is_an_error_of_the_protocol(service: CarelineProcess, tool: str) -> None:
    async with client(service) as connected:
        with pytest.raises(MCPError, match="no such tool"):
            await call(connected, tool, {})


@pytest.mark.data
async def test_no_hostile_row_lets_out_anything_of_another_customer(service: CarelineProcess) -> None:
    rows = [json.loads(line) for line in shared(CASES).read_text("utf-8").splitlines()]
    tried = 0
    refused: set[str] = set()
    async with client(service) as connected:
        as_b = await call(connected, "find_tickets", {}, customer=B.customer_id)
        ticket_of_b = as_b.structured_content["value"]["tickets"][0]["reference"]
        for row in rows:
            tool, arguments = row["model_emits"]["tool"], _filled(row["model_emits"]["args"], ticket_of_b)
            if tool not in refused:
                with pytest.raises(MCPError):
                    await call(connected, tool, arguments)
                refused.add(tool)
            for ours in (OURS[tool],) if tool in OURS else NEAREST[tool]:
                outcome = await call(connected, ours, {**REQUIRED.get(ours, {}), **arguments})
                seen = outcome.model_dump_json()
                assert not [secret for secret in secrets_of_b(ticket_of_b) if secret in seen], row["id"]
                tried += 1

    assert tried >= len(rows) == 272
    assert "stolen" in as_b.model_dump_json()  # the check above can fail


def _filled(value: Any, ticket_of_b: str) -> Any:
    match value:
        case {"$repeat": [text, int(times)]}:
            return str(text) * times
        case dict():
            return {key: _filled(item, ticket_of_b) for key, item in value.items()}
        case list():
            return [_filled(item, ticket_of_b) for item in value]
        case str():
            names = {
                "A.id": A.customer_id,
                "A.name": A.name,
                "A.email": A.email or "",
                "A.order": A.orders[0].order_id,
                "B.id": B.customer_id,
                "B.name": B.name,
                "B.email": B.email or "",
                "B.ticket": ticket_of_b,
                "B.order": B.orders[0].order_id,
            }
            for name, real in names.items():
                value = value.replace("{" + name + "}", real)
            return value
        case _:
            return value
