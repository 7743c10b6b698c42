"""
An OpenAI-compatible model server that takes its time, so that turns last long enough to be interrupted.

It opens a ticket for a message that names a lamp and for a dialogue about one that the built-in brain has left open, looks the
customer up for a message about an order, and is polite to the rest.
"""

import asyncio
import json
import re
from typing import Any, Self

from aiohttp import web

_RECEIPT = re.compile(r"R-[2-9A-Z]{10}")
_LAMP = re.compile(r"lamp-\S+")
_SENTENCES = 12
_CONTACT = "ada@example.org"
_DIALOGUE_IS_OPEN = "A dialogue is open; carry it on. Data: "


class Model:
    """
    Each piece of an answer comes `pace_seconds` after the one before. `most_at_once` is how many answers were under way at the
    same time.
    """

    def __init__(self, *, pace_seconds: float) -> None:
        self.pace_seconds = pace_seconds
        self.port = 0
        self.most_at_once = 0
        self._at_once = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @staticmethod
    async def _models(_: web.Request) -> web.Response:
        return web.json_response({"data": []})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        messages = (await request.json())["messages"]
        deltas, finish = _deltas(messages)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        # Who answers has searched before; a conversation is summed up beside the answer, without.
        is_answer = any(message["role"] == "tool" for message in messages)
        self._at_once += is_answer
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await response.prepare(request)
            for delta in deltas:
                await response.write(_event(delta, None))
                await asyncio.sleep(self.pace_seconds)
            await response.write(_event({}, finish) + b"data: [DONE]\n\n")
            await response.write_eof()
        except ConnectionError:
            pass
        finally:
            self._at_once -= is_answer
        return response


def _deltas(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    asked = max(place for place, each in enumerate(messages) if each["role"] == "user")
    results = [each["content"] for each in messages[asked:] if each["role"] == "tool"]
    text = messages[asked]["content"]
    lamps = list(dict.fromkeys(_LAMP.findall(text) or _LAMP.findall(_open_dialogue(messages))))
    has_called = len(results) > 1  # the first is the search that the service makes by itself
    if lamps and not has_called:
        description = "It flickers every evening, and nothing helps."
        return _calls(
            *(
                (
                    "open_ticket",
                    {"subject": f"{lamp} flickers", "description": description, "contact": _CONTACT},
                )
                for lamp in lamps
            )
        ), "tool_calls"
    if "order" in text and not has_called:
        return _calls(("customer_info", {"about": "orders"})), "tool_calls"
    receipts = _RECEIPT.findall(" ".join(results))
    if receipts:
        said = [f"The ticket with the receipt {receipt} is open. " for receipt in dict.fromkeys(receipts)]
        return [{"content": said[place % len(said)]} for place in range(_SENTENCES)], "stop"
    polite = ("Thank you ", "for your message, ", "I am glad ", "to help you.")
    return [{"content": piece} for piece in polite], "stop"


def _open_dialogue(messages: list[dict[str, Any]]) -> str:
    """What the service tells of a dialogue that is to be carried on."""
    return str(messages[0]["content"]).partition(_DIALOGUE_IS_OPEN)[2]


def _calls(*wanted: tuple[str, dict[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "tool_calls": [
                {
                    "index": place,
                    "id": f"call_{place}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
            ]
        }
        for place, (name, arguments) in enumerate(wanted)
    ]


def _event(delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()
