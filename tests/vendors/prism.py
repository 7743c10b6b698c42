"""
A second opinion on what the connectors ask of help desks, Twilio and SendGrid: Prism (npm `@stoplight/prism-cli`), which knows
nothing of openapi-core.

`python -m tests.vendors.prism [PROGRAM …]` has each connector talk with its vendor's stand-in, says the same requests to Prism
over the vendor's description, and those that are malformed. PROGRAM is how Prism is started, else `npx --yes
@stoplight/prism-cli`; the code is 1 when Prism refuses what is right or takes what is wrong.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx

from core.http import make_client
from core.records import Notification
from tests.contracts.desks import MALFORMED, VENDORS, wish
from tests.http_faults import Answer, FaultyServer
from tests.notification_services import basic, sendgrid_document, twilio_document
from tests.servers import free_port
from tools.adapters.sendgrid import SendGridChannel
from tools.adapters.twilio import TwilioChannel

_NPX = ("npx", "--yes", "@stoplight/prism-cli")
_ACCOUNT = "AC" + "0" * 32
_START_SECONDS = 120.0
_ANSWER_SECONDS = 30.0
_NOT_REPEATED = frozenset({"host", "content-length", "connection", "accept-encoding"})
_NOT_LOOKED_AT = frozenset({("github", "POST")})
"""Prism 5.14 passes any body there, even `{}`; openapi-core does not."""


class Said(Protocol):
    """One request, as a stand-in kept it."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    What a connector says to its vendor; `malformed` (method, path, rest of the request) is what the description does not allow.
    """

    vendor: str
    document: Mapping[str, Any]
    said: Sequence[Said]
    malformed: Sequence[tuple[str, str, Mapping[str, Any]]]
    prefix: str = ""
    """Of the description's server, which Prism leaves out."""


async def check(talk: Conversation, program: Sequence[str]) -> list[str]:
    """What Prism sees otherwise than we do; prints a line for each request."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder) / "description.json"
        description.write_text(json.dumps(talk.document), encoding="utf-8")
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *program,
            "mock",
            "--port",
            str(port),
            str(description),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=_ANSWER_SECONDS
            ) as client:
                await _is_there(client, process)
                for request in talk.said:
                    path = request.path.removeprefix(talk.prefix)
                    answer = await client.request(
                        request.method,
                        path,
                        params=request.query,
                        content=request.body,
                        headers=_headers(request),
                    )
                    wrong += _verdict(talk.vendor, request.method, path, answer, is_right=True)
                proof = {
                    name: value
                    for name, value in _headers(talk.said[0]).items()
                    if name.lower() != "content-type"
                }
                for method, path, malformed in talk.malformed:
                    if (talk.vendor, method) not in _NOT_LOOKED_AT:
                        answer = await client.request(method, path, headers=proof, **malformed)
                        wrong += _verdict(talk.vendor, method, path, answer, is_right=False)
        finally:
            # npx leaves its child behind when only npx itself is ended.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
    return wrong


def _headers(request: Said) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.lower() not in _NOT_REPEATED}


async def _conversations() -> AsyncIterator[Conversation]:
    for vendor, world_of in VENDORS.items():
        async with world_of() as world:
            for wanted in (wish(), wish(), wish("k2"), wish("k3"), wish("k4", contact=None)):
                await world.open(wanted)
            await world.desk.find_tickets("default", "cust_anna", limit=50)
        yield Conversation(
            vendor,
            world.server.described.document,
            [asked for asked in world.server.asked if asked.path not in world.server.absent],
            [each[1:] for each in MALFORMED if each[0] == vendor],
        )
    yield await _with_twilio()
    yield await _with_sendgrid()


async def _with_twilio() -> Conversation:
    messages = f"/2010-04-01/Accounts/{_ACCOUNT}/Messages.json"
    answer = Answer(status=201, body=b'{"sid": "SM1", "messages": []}')
    async with FaultyServer(lambda _: answer).listening() as service:
        proof = {"Authorization": basic(_ACCOUNT, "token")}
        async with make_client(
            "notifications", base_url=service.url, timeout_seconds=5.0, headers=proof
        ) as client:
            await _everything(TwilioChannel(client, account=_ACCOUNT, sender="+15005550006"), "+34600111222")
    nobody = {"data": {"From": "+15005550006", "Body": "to nobody"}}
    return Conversation(
        "twilio",
        twilio_document(),
        service.asked,
        [
            ("POST", messages, nobody),
            ("POST", messages.replace(_ACCOUNT, "AC1"), {"data": {"To": "+34600111222", "Body": "x"}}),
            ("GET", messages, {"params": {"PageSize": "many"}}),
        ],
    )


async def _with_sendgrid() -> Conversation:
    async with FaultyServer(lambda _: Answer(status=202, body=b"[]")).listening() as service:
        proof = {"Authorization": "Bearer SG.key"}
        async with make_client(
            "notifications", base_url=service.url, timeout_seconds=5.0, headers=proof
        ) as client:
            await _everything(SendGridChannel(client, sender="help@shop.example"), "anna@alvarez.example")
    good = json.loads(service.asked[0].body)
    return Conversation(
        "sendgrid",
        sendgrid_document(),
        service.asked,
        [
            ("POST", "/mail/send", {"json": {**good, "content": good["content"][0]}}),
            ("POST", "/mail/send", {"json": {name: good[name] for name in good if name != "from"}}),
            ("GET", "/suppression/bounces", {"params": {"start_time": "yesterday"}}),
        ],
        prefix="/v3",
    )


async def _everything(channel: TwilioChannel | SendGridChannel, address: str) -> None:
    await channel.send(
        Notification("effect_1", channel.name, address, "Your return", "Dear Anna,\nsend it back. 🙂")
    )
    await channel.probe()
    await channel.bounces(since=datetime(2026, 11, 20, tzinfo=UTC))


async def _is_there(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while process.returncode is None:
            try:
                await client.get("/")
            except httpx.TransportError:
                await asyncio.sleep(0.2)
            else:
                return
    raise RuntimeError("Prism did not start")


def _verdict(vendor: str, method: str, path: str, answer: httpx.Response, *, is_right: bool) -> list[str]:
    line = f"{vendor}: {'valid' if is_right else 'malformed'} {method} {path}: {answer.status_code}"
    is_as_expected = answer.is_success if is_right else answer.status_code in (400, 422)
    sys.stdout.write(f"{'ok  ' if is_as_expected else 'WRONG'} {line}\n")
    return [] if is_as_expected else [f"{line} {answer.text[:500]}"]


async def main(program: Sequence[str]) -> int:
    wrong = [problem async for talk in _conversations() for problem in await check(talk, program)]
    sys.stdout.write("\n".join(wrong) + ("\n" if wrong else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or _NPX)))
