"""
`careline ingest` of a web site and `careline knowledge`, as an operator uses them beside a service that runs; and what of it
which customer is told.
"""

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.careline_process import CarelineProcess, run_careline
from tests.http_faults import Answer, Asked, FaultyServer
from tests.service.test_mcp_server import call, client

KEY = "0123456789abcdef-shop"
SETTINGS = {"api_keys": f"shop:{KEY}", "mcp_serve": "true", "rate_limit_per_customer": "0"}
LIMITS = {
    "public": "Everybody is refunded up to 11 euros.",
    "customer": "Members are refunded up to 22 euros.",
    "internal": "Agents may refund up to 33 euros without asking.",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarelineProcess]:
    with CarelineProcess(tmp_path_factory.mktemp("service"), SETTINGS) as process:
        for audience, sentence in LIMITS.items():
            (process.folder / f"{audience}.md").write_text(
                f"# Refund limit for {audience} use\n\n{sentence}\n"
            )
        run_careline("ingest", "public.md", folder=process.folder)
        run_careline("ingest", "customer.md", "--audience", "customer", folder=process.folder)
        run_careline("ingest", "internal.md", "--audience", "internal", folder=process.folder)
        yield process


def asked(service: CarelineProcess, text: str, *, customer: str | None, token: str = KEY) -> str:
    body: dict[str, Any] = {"message": text}
    if customer is not None:
        body["customer_id"] = customer
    answer = httpx.post(
        f"{service.url}/v1/chat", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30
    )
    return answer.raise_for_status().text


def until_asked(service: CarelineProcess, text: str, *, customer: str | None, expected: str) -> str:
    """A replica looks for a new version every two seconds."""
    deadline = time.monotonic() + 20
    while expected not in (said := asked(service, text, customer=customer)):
        assert time.monotonic() < deadline, said
        time.sleep(0.3)
    return said


@pytest.mark.parametrize("audience", list(LIMITS))
@pytest.mark.parametrize(
    ("who", "readable"),
    [("visitor", {"public"}), ("nobody", {"public"}), ("cust_anna", {"public", "customer"})],
)
def test_a_customer_is_told_what_is_for_him_and_never_what_is_internal(
    service: CarelineProcess, who: str, readable: set[str], audience: str
) -> None:
    until_asked(service, "refund limit for customer use", customer="cust_anna", expected="22 euros")
    token = KEY
    if who == "visitor":
        token = httpx.post(f"{service.url}/v1/visitors").raise_for_status().json()["token"]

    said = asked(
        service,
        f"What is the refund limit for {audience} use?",
        customer=who if who == "cust_anna" else None,
        token=token,
    )

    told = {each for each, sentence in LIMITS.items() if sentence in said}
    assert told <= readable
    assert (audience in told) == (audience in readable)
    assert "33 euros" not in said


async def test_a_client_of_the_tools_is_told_no_more(service: CarelineProcess) -> None:
    found = {}
    async with client(service, key=KEY) as connected:
        for customer in (None, "cust_anna"):
            result = await call(
                connected,
                "search_knowledge",
                {"query": "refund limit agents internal use", "limit": 10},
                customer=customer,
            )
            found[customer] = {each["article_id"] for each in result.structured_content["value"]["passages"]}

    assert found == {None: {"public"}, "cust_anna": {"public", "customer"}}


def test_a_rollback_is_followed_by_the_running_service_and_can_be_undone(service: CarelineProcess) -> None:
    question = "What is the refund limit for public use?"
    until_asked(service, question, customer=None, expected="11 euros")
    (service.folder / "public.md").write_text("# Refund limit for public use\n\nEverybody gets 999 euros.\n")
    run_careline("ingest", "public.md", folder=service.folder)
    until_asked(service, question, customer=None, expected="999 euros")

    back = run_careline("knowledge", "rollback", folder=service.folder)
    until_asked(service, question, customer=None, expected="11 euros")
    listed = run_careline("knowledge", "versions", folder=service.folder)
    run_careline("knowledge", "rollback", "--undo", folder=service.folder)
    until_asked(service, question, customer=None, expected="999 euros")

    assert re.match(r" +3 .* served ", back)
    assert [line.split()[0] for line in listed.splitlines()] == ["4", "3", "2", "1"]
    assert [" served " in line for line in listed.splitlines()] == [False, True, False, False]


def test_an_operator_looks_with_the_eyes_of_each_audience(service: CarelineProcess) -> None:
    seen = {
        audience: run_careline(
            "knowledge", "find", "refund limit for agents", "--audience", audience, folder=service.folder
        )
        for audience in LIMITS
    }

    assert "33 euros" in seen["internal"]
    assert "33 euros" not in seen["public"] + seen["customer"]
    assert "22 euros" in seen["customer"]
    assert "22 euros" not in seen["public"]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("knowledge", "rollback", "77"), "no version 77", 1),
        (("knowledge", "rollback", "3", "--undo"), "--undo takes no VERSION", 2),
        (("ingest",), "nothing to ingest", 2),
        (("ingest", "x.md", "--expires", "soon"), "expires is a day", 2),
        (("ingest", "x.md", "--language", "English!"), "a language is written as", 2),
        (("ingest", "x.md", "--audience", "agents"), "audience", 2),
    ],
)
def test_what_cannot_be_done_is_said_with_a_next_step(
    service: CarelineProcess, arguments: tuple[str, ...], said: str, code: int
) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run_careline(*arguments, folder=service.folder)

    assert raised.value.returncode == code
    assert said in raised.value.stderr


async def test_a_web_site_is_ingested_and_nothing_inside_without_being_told_to(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        body = {
            "/": '<h1>Help</h1><a href="/returns">Returns</a>',
            "/returns": "<h1>Returns</h1><p>30 days.</p>",
        }
        if asked.path not in body:
            return Answer(status=404)
        return Answer(body=body[asked.path].encode(), headers={"Content-Type": "text/html", "ETag": '"1"'})

    async with FaultyServer(answer).listening() as site:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            await asyncio.to_thread(run_careline, "ingest", f"{site.url}/", folder=tmp_path)
        arguments = ("ingest", f"{site.url}/", "--inside", "--depth", "1", "--pause", "0")
        first = await asyncio.to_thread(run_careline, *arguments, folder=tmp_path)
        again = await asyncio.to_thread(run_careline, *arguments, folder=tmp_path)

    assert "does not lead to a public place" in refused.value.stderr
    assert first.startswith("2 added")
    assert again.startswith("0 added, 0 changed, 2 unchanged, 0 removed (0 texts embedded)")
