"""
An OpenAI-compatible model server that costs next to nothing, for measuring the service beside it.

    python -m bench.model_server PORT [--token-seconds 0.01]

Its first answer to a customer's message looks the account up, its second quotes the order that the look-up found, in three
sentences, or asks which order where there was none; who offers no tools, wants a conversation's notes, in their JSON. Streamed a
word an event where a stream is asked for, else at once. One process, raw HTTP/1.1 with keep-alive.
"""

import argparse
import asyncio
import json
import re
from typing import Any, cast

import uvloop

CALL_ID = "call_account"
NOTES = json.dumps(
    {
        "wants": "The state of an order.",
        "answered": "It has been shipped.",
        "done": "",
        "open": "",
        "names_and_numbers": [],
    }
)
_NO_ORDER = "Which order do you mean?"
_ORDER = re.compile(rb"QC\d{6}")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")


def reply_about(order_id: str) -> str:
    """What the model says at last; every sentence stands on what the tool told it."""
    return (
        f"Your order {order_id} has been shipped. It holds a Heron Gravel helmet and Merino socks. "
        f"The tracking number is BX7731900421GB."
    )


class ModelProtocol(asyncio.Protocol):
    def __init__(self, token_seconds: float) -> None:
        self._token_seconds = token_seconds
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received[:end])
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            request, self._received = self._received[:whole], self._received[whole:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        assert self._transport is not None
        if not request.startswith(b"POST"):
            self._transport.write(_response(b'{"data":[]}', "application/json"))
            return
        message, finish = _message(request)
        if re.search(rb'"stream":\s*true', request) is None:
            choice = {"index": 0, "message": message, "finish_reason": finish}
            body = json.dumps({"id": "cmpl_1", "model": "mock", "choices": [choice]}).encode()
            self._transport.write(_response(body, "application/json"))
            return
        events = [_event({"choices": [each]}) for each in _deltas(message, finish)]
        pieces = [
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            *(_chunk(event) for event in [*events, b"data: [DONE]\n\n"]),
            b"0\r\n\r\n",
        ]
        if self._token_seconds:
            loop = asyncio.get_running_loop()
            for place, piece in enumerate(pieces):
                loop.call_later(place * self._token_seconds, self._transport.write, piece)
        else:
            self._transport.write(b"".join(pieces))


def _message(request: bytes) -> tuple[dict[str, Any], str]:
    if CALL_ID.encode() not in request and b'"tools"' not in request:
        return {"role": "assistant", "content": NOTES}, "stop"
    if CALL_ID.encode() not in request:
        function = {"name": "customer_info", "arguments": '{"about":"orders"}'}
        call = {"id": CALL_ID, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    orders = _ORDER.findall(request)
    if not orders:
        return {"role": "assistant", "content": _NO_ORDER}, "stop"
    # The tool's result comes last.
    return {"role": "assistant", "content": reply_about(orders[-1].decode())}, "stop"


def _deltas(message: dict[str, Any], finish: str) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\S+\s*", message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        first = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        for start in range(0, len(arguments), 6):
            piece = {"index": index, "function": {"arguments": arguments[start : start + 6]}}
            deltas.append({"tool_calls": [piece]})
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    return [*choices, {"index": 0, "delta": {}, "finish_reason": finish}]


def _event(data: dict[str, Any]) -> bytes:
    whole = {"id": "cmpl_1", "object": "chat.completion.chunk", "created": 1, "model": "mock", **data}
    return f"data: {json.dumps(whole)}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _response(body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(port: int, token_seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: ModelProtocol(token_seconds), "127.0.0.1", port
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("--token-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.token_seconds))


if __name__ == "__main__":
    main()
