"""
A ticket service that fails as badly as it may: it writes and does not answer, it refuses, and it may be killed at any moment.

`python tests/ticket_server.py PORT FILE MODE SEED`. Opens a ticket per POST unless MODE is `key`, so that what is asked for
twice is there twice; answers lookups unless it is `none`. What is written is in FILE before anything else happens. Imports
nothing of ours, so that it is quickly up again.
"""

import contextlib
import json
import random
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SILENT_SHARE = 0.15
REFUSED_SHARE = 0.05
SILENT_SECONDS = 1.5
_TABLE = """CREATE TABLE IF NOT EXISTS tickets (
    number INTEGER PRIMARY KEY, tenant TEXT, external TEXT, customer TEXT, document TEXT, opened_at TEXT)"""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connection_: sqlite3.Connection
    lock = threading.RLock()
    rng: random.Random
    mode: str

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        wanted = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path == "/alive":
            self._answer(200, {})
        elif "external" in wanted and self.mode != "none":
            self._answer(200, self._find("external = ? AND tenant = ?", wanted["external"], wanted["tenant"]))
        elif "customer" in wanted:
            self._answer(200, self._find("customer = ? AND tenant = ?", wanted["customer"], wanted["tenant"]))
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            chance = self.rng.random()
        if chance < REFUSED_SHARE:
            self._answer(503, {})
            return
        opened = self._open(wanted)
        if chance < REFUSED_SHARE + SILENT_SHARE:
            time.sleep(SILENT_SECONDS)
            self.close_connection = True
            return
        self._answer(201, opened)

    def _open(self, wanted: dict[str, Any]) -> dict[str, Any]:
        with self.lock, self.connection_:
            if self.mode == "key":
                known = self._find("external = ? AND tenant = ?", wanted["external"], wanted["tenant"])
                if known:
                    return known[0]
            row = self.connection_.execute(
                "INSERT INTO tickets (tenant, external, customer, document, opened_at) VALUES (?, ?, ?, ?, ?)",
                (
                    wanted["tenant"],
                    wanted["external"],
                    wanted["customer"],
                    json.dumps(wanted),
                    datetime.now(UTC).isoformat(),
                ),
            )
            return self._find("number = ?", row.lastrowid)[0]

    def _find(self, where: str, *values: Any) -> list[dict[str, Any]]:
        query = f"SELECT number, document, opened_at FROM tickets WHERE {where} ORDER BY number DESC LIMIT 20"  # noqa: S608
        with self.lock:
            rows = self.connection_.execute(query, values).fetchall()
        return [{"number": row[0], "opened_at": row[2], **json.loads(row[1])} for row in rows]

    def _answer(self, status: int, body: Any) -> None:
        raw = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        self.wfile.write(head.encode() + raw)  # in one piece: two meet Nagle's wait

    def handle(self) -> None:
        with contextlib.suppress(
            ConnectionError, ValueError
        ):  # a client that gave up, perhaps in the middle of its request
            super().handle()

    def log_message(self, format: str, *args: Any) -> None: ...


def main(port: str, file: str, mode: str, seed: str) -> None:
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")  # outlives the process, not the machine
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(_TABLE)
    connection.commit()
    _Handler.connection_, _Handler.rng, _Handler.mode = connection, random.Random(int(seed)), mode
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
