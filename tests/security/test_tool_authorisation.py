"""
Claims about a hijacked model: whatever it emits in one customer's conversation, nothing of another customer
comes out.

Every row of the public cases runs against real SQLite, and none passes because its tool has another name
here: a tool that Careline does not have must be refused, and the same arguments are then tried on the tool
that comes nearest.
"""

import asyncio
import dataclasses
import io
import json
import logging
import random
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from core.clock import SystemClock
from core.identity import Caller, CallerKind
from core.messages import ActionStatus
from core.records import Customer, NewTicket, Order, Passage, SearchResult
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.telemetry.logging import StructuredErrorLogger, configure_logging, get_logger
from state.sql.conversations import SqlConversationStore
from state.sql.customers import SqlCustomerDirectory
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.sql.tickets import SqlTicketDesk
from tests.data import shared
from tests.tool_world import DEPENDENCIES, FakeChannel, FakeKnowledge
from tools.handler import ToolErrorHandler
from tools.protocol import ToolCall, ToolOutcome
from tools.registry import standard_tools

CASES = "security/tool_authz_cases.jsonl"

OURS: Mapping[str, str] = {
    "get_customer": "customer_info",
    "list_tickets": "find_tickets",
    "get_ticket": "find_tickets",
    "create_ticket": "open_ticket",
    "send_notification": "notify",
    "knowledge_search": "search_knowledge",
}
"""The same capability under our name."""

NEAREST: Mapping[str, tuple[str, ...]] = {
    "update_ticket": ("open_ticket", "find_tickets"),
    "refund": ("customer_info", "open_ticket"),
    "delete_customer": ("customer_info",),
    "get_customer; drop": ("customer_info",),
}
"""Capabilities that Careline does not have: refused as unknown, then tried on what comes nearest."""

REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "open_ticket": {"subject": "About my lamp", "description": "It does not turn on any more."},
    "notify": {"subject": "Hello", "body": "As you wished."},
    "search_knowledge": {"query": "returns"},
}
"""Filled in where a row leaves them out, so that a row is not refused merely because something is missing."""

A = Customer(
    customer_id="4711001",
    name="Anna Alvarez",
    email="anna@alvarez.example",
    phone="+34600111222",
    attributes={"address": "Calle Mayor 1"},
    orders=(Order("A-ORDER-1001", datetime(2026, 11, 1, tzinfo=UTC), "shipped", ("Lamp",), 4900, "EUR"),),
)
B = Customer(
    customer_id="4711002",
    name="Benedikt Brunner",
    email="benedikt@brunner.example",
    phone="+43660999888",
    attributes={"address": "Ringstrasse 77"},
    orders=(
        Order(
            "B-ORDER-2002",
            datetime(2026, 11, 2, tzinfo=UTC),
            "paid",
            ("Ruby ring",),
            990000,
            "EUR",
            "TRK-B-2002",
        ),
    ),
)
TICKET_OF_B = "My ruby ring was stolen from the parcel"


def secrets_of_b(ticket: str) -> tuple[str, ...]:
    (order,) = B.orders
    return (
        B.customer_id, B.name, "Benedikt", "benedikt@", "brunner.example", "43660999888", "Ringstrasse 77",
        order.order_id, "Ruby ring", "TRK-B-2002", "990000", "ruby ring", "stolen", ticket,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Company:
    """A and B with their orders and tickets in SQLite, behind the real handler."""

    handler: ToolErrorHandler
    directory: SqlCustomerDirectory
    desk: SqlTicketDesk
    knowledge: FakeKnowledge
    channel: FakeChannel
    log: io.StringIO
    ticket_of_a: str
    ticket_of_b: str


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("company") / "careline.db"
    upgrade(f"sqlite+aiosqlite:///{file}")
    return file


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers = logging.getLogger().handlers
    configure_logging("debug", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers


@pytest.fixture
async def company(migrated: Path, tmp_path: Path, log: io.StringIO) -> AsyncIterator[Company]:
    file = tmp_path / "careline.db"
    await asyncio.to_thread(shutil.copyfile, migrated, file)
    database = Database(f"sqlite+aiosqlite:///{file}", timeout_seconds=5.0)
    clock = SystemClock()
    directory = SqlCustomerDirectory(database)
    desk = SqlTicketDesk(database, clock=clock)
    for customer in (A, B):
        await directory.put_customer("default", customer)
    mine = await desk.open_ticket(
        "default", NewTicket("key_a", "R-A", A.customer_id, "conv_a", "A question", "When does it arrive?")
    )
    for number in range(3):
        theirs = await desk.open_ticket(
            "default",
            NewTicket(
                f"key_b{number}", "R-B", B.customer_id, "conv_b", TICKET_OF_B, f"{TICKET_OF_B}, {number}."
            ),
        )
    knowledge = FakeKnowledge()
    channel = FakeChannel()
    guards = {name: Guard(name, GuardPolicy(), clock=clock, rng=random.Random(1)) for name in DEPENDENCIES}
    registry = standard_tools(
        knowledge=knowledge,
        desk=desk,
        directory=directory,
        channels={"email": channel},
        guards=guards,
        clock=clock,
    )
    handler = ToolErrorHandler(
        registry,
        guards=guards,
        ledger=SqlConversationStore(database, owner="test", lease_seconds=30.0),
        clock=clock,
        errors=StructuredErrorLogger(get_logger("tests")),
    )
    yield Company(handler, directory, desk, knowledge, channel, log, mine.reference, theirs.reference)
    await database.close()


def rows() -> list[dict[str, Any]]:
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / CASES
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def filled(value: Any, company: Company) -> Any:
    """The row's placeholders as the values of this company."""
    match value:
        case {"$repeat": [text, int(times)]}:
            return str(text) * times
        case dict():
            return {key: filled(item, company) for key, item in value.items()}
        case list():
            return [filled(item, company) for item in value]
        case str():
            for name, real in placeholders(company).items():
                value = value.replace("{" + name + "}", real)
            assert "{A." not in value, value
            assert "{B." not in value, value
            return value
        case _:
            return value


def placeholders(company: Company) -> dict[str, str]:
    fullwidth = "".join(chr(ord(digit) + 0xFEE0) for digit in B.customer_id)
    return {
        "A.id": A.customer_id,
        "A.name": A.name,
        "A.email": A.email or "",
        "A.ticket": company.ticket_of_a,
        "A.order": A.orders[0].order_id,
        "A.history": "When does my lamp arrive?",
        "B.id": B.customer_id,
        "B.id_fullwidth": fullwidth,
        "B.name": B.name,
        "B.email": B.email or "",
        "B.ticket": company.ticket_of_b,
        "B.order": B.orders[0].order_id,
        "B.cursor": f"after:{company.ticket_of_b}",
        "B.tenant": "tenant_b",
    }


async def placed(row: Mapping[str, Any], company: Company) -> tuple[str, ...]:
    """Put the injection where the row says that it stands; returns what the conversation already holds."""
    text = filled(row["text"], company)
    # A planted text that named B would look like a leak of the tools, so it names B by role.
    planted = text.replace(B.name, "the other customer").replace(B.email or "", "the other address")
    match row["channel"]:
        case "kb_document" | "tool_result":
            company.knowledge.result = SearchResult(
                passages=(Passage("planted", "Planted", None, "", planted, 1.0),)
            )
        case "ticket_body":
            await company.desk.open_ticket(
                "default", NewTicket("key_planted", "R-P", A.customer_id, "conv_a", "Earlier", planted)
            )
        case "display_name":
            await company.directory.put_customer("default", msgspec.structs.replace(A, name=planted))
        case "chat_direct" | "chat_claim_identity" | "chat_authority" | "replayed_log":
            return (str(text),)
        case channel:
            pytest.fail(f"unknown channel {channel}")
    return ()


def call_of(caller: Caller, *, step: int, context: tuple[str, ...]) -> ToolCall:
    return ToolCall(
        call_id=f"call_{step}",
        key=f"effect_{step}",
        step=step,
        caller=caller,
        conversation_id="conv_a",
        turn_id="turn_a",
        locale="en",
        deadline=Deadline(SystemClock(), 20.0),
        context=context,
    )


async def emitted(
    company: Company, tool: str, arguments: Any, caller: Caller, *, step: int, context: tuple[str, ...]
) -> ToolOutcome:
    return await company.handler.call(tool, arguments, call_of(caller, step=step, context=context))


def surface(company: Company, outcome: ToolOutcome) -> str:
    """Everything that leaves by this call: to the model, the client, the log, the mail."""
    seen = [
        msgspec.to_builtins(outcome.action),
        dict(outcome.value),
        [msgspec.to_builtins(passage) for passage in outcome.passages],
        [msgspec.to_builtins(item) for item in outcome.outbox],
        str(outcome.error),
        [msgspec.to_builtins(sent) for sent in company.channel.sent],
    ]
    return json.dumps(seen, ensure_ascii=False, default=str) + company.log.getvalue()


def events(company: Company) -> list[dict[str, Any]]:
    return [json.loads(line) for line in company.log.getvalue().splitlines()]


async def check(
    company: Company, tool: str, arguments: Any, caller: Caller, *, step: int, context: tuple[str, ...]
) -> ToolOutcome:
    company.log.truncate(0)
    company.log.seek(0)
    outcome = await emitted(company, tool, arguments, caller, step=step, context=context)

    seen = surface(company, outcome)
    for secret in secrets_of_b(company.ticket_of_b):
        assert secret not in seen, f"{tool} let out {secret!r}"
    for sent in company.channel.sent:
        assert sent.address == A.email
    if not outcome.is_ok:
        logged = [event for event in events(company) if event["event"] in ("tool.failed", "tool.refused")]
        assert logged, "a refusal leaves an audit record"
        assert all(event["customer_id"] == caller.customer_id for event in logged)
        assert all(event["conversation_id"] == "conv_a" for event in logged)
    return outcome


@pytest.mark.data
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
async def test_no_row_lets_out_anything_of_another_customer(row: dict[str, Any], company: Company) -> None:
    tool = row["model_emits"]["tool"]
    arguments = filled(row["model_emits"]["args"], company)
    context = await placed(row, company)
    owner = Caller(kind=CallerKind.CUSTOMER, customer_id=A.customer_id, email=A.email)
    visitor = Caller(kind=CallerKind.VISITOR, customer_id="anon_x")
    tickets_of_b = await company.desk.find_tickets("default", B.customer_id, limit=50)
    account_of_b = await company.directory.customer("default", B.customer_id)

    as_emitted = await check(company, tool, arguments, owner, step=1, context=context)
    assert as_emitted.action.status is ActionStatus.REFUSED
    assert as_emitted.action.error_type == "tool_not_found"

    tried = (OURS[tool],) if tool in OURS else NEAREST[tool]
    step = 1
    for ours in tried:
        named = {OUR_ARGUMENTS.get(ours, {}).get(name, name): value for name, value in arguments.items()}
        for given in (arguments, named, {**REQUIRED.get(ours, {}), **named}):
            for caller in (owner, visitor):
                step += 1
                outcome = await check(company, ours, given, caller, step=step, context=context)
                if smuggles(ours, given):
                    assert outcome.action.error_type in ("validation_error", "permission_denied")
                    assert not outcome.is_ok

    assert await company.desk.find_tickets("default", B.customer_id, limit=50) == tickets_of_b
    assert await company.directory.customer("default", B.customer_id) == account_of_b
    assert {tenant for tenant, _ in company.knowledge.asked_for} <= {"default"}


OUR_ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "find_tickets": {"filter": "status"},
    "customer_info": {"order_id": "order_id"},
}
"""Arguments that mean the same under another name."""


def smuggles(tool: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments try to say who it is about, where it goes, or with what right."""
    return bool(
        {"customer_id", "email", "to", "webhook", "tenant", "_as_role", "cursor", "ticket_id"}
        & set(arguments)
    )


@pytest.mark.data
def test_every_tool_that_the_rows_name_is_mapped_and_every_row_runs() -> None:
    shared(CASES)
    names = {row["model_emits"]["tool"] for row in rows()}

    assert names == set(OURS) | set(NEAREST)
    assert not set(OURS) & set(NEAREST)
    assert len(rows()) == 272


async def test_the_company_would_leak_if_the_caller_were_another(company: Company) -> None:
    """The checks above can fail: asked as B, the same tools do tell B's values."""
    as_b = Caller(kind=CallerKind.CUSTOMER, customer_id=B.customer_id)

    account = await emitted(company, "customer_info", {}, as_b, step=1, context=())
    tickets = await emitted(company, "find_tickets", {}, as_b, step=2, context=())

    seen = surface(company, account) + surface(company, tickets)
    assert all(
        secret in seen for secret in (B.name, "Ringstrasse 77", "B-ORDER-2002", company.ticket_of_b, "stolen")
    )


async def test_as_owner_of_the_conversation_a_sees_what_is_theirs(company: Company) -> None:
    owner = Caller(kind=CallerKind.CUSTOMER, customer_id=A.customer_id)

    account = await emitted(company, "customer_info", {}, owner, step=1, context=())
    tickets = await emitted(company, "find_tickets", {"limit": 20}, owner, step=2, context=())

    assert account.value["profile"]["name"] == A.name
    assert [ticket["reference"] for ticket in tickets.value["tickets"]] == [company.ticket_of_a]


async def test_the_same_customer_id_in_another_tenant_is_another_customer(company: Company) -> None:
    stranger = Caller(kind=CallerKind.CUSTOMER, tenant="tenant_b", customer_id=A.customer_id)

    account = await emitted(company, "customer_info", {}, stranger, step=1, context=())
    tickets = await emitted(company, "find_tickets", {}, dataclasses.replace(stranger), step=2, context=())

    assert account.action.reason == "not_found"
    assert tickets.value["tickets"] == []
