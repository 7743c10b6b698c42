"""Zendesk Support, as far as tickets are opened and searched: its Ticketing API v2."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.vendors.description import description
from tests.vendors.server import Answer, Asked, VendorServer

USER = "agent@shop.example"
KEY = "zendesk-key-0123456789"
_ALLOWED = "Basic " + base64.b64encode(f"{USER}/token:{KEY}".encode()).decode()
_BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Zendesk(VendorServer):
    def __init__(self) -> None:
        super().__init__(description("zendesk-oas-2.0.0.yaml", "/api/v2/tickets", "/api/v2/search"))
        self.tickets: list[dict[str, Any]] = []
        self.knows_external_ids = True
        self.forgets_keys = False
        """The real one does after two hours."""
        self.search_is_sloppy = False
        """Finds everything, whatever is asked for."""
        self._by_key: dict[str, dict[str, Any]] = {}

    @property
    def subjects(self) -> list[str]:
        return [ticket["subject"] for ticket in self.tickets]

    def makes_something(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def handle(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != _ALLOWED:
            return Answer(401, {"error": "Couldn't authenticate you"})
        if asked.path == "/api/v2/search":
            return self._search(asked)
        if asked.method == "POST":
            return self._create(asked)
        wanted = asked.query.get("external_id") if self.knows_external_ids else "hidden"
        return Answer(200, {"tickets": [each for each in self.tickets if each["external_id"] == wanted]})

    def _create(self, asked: Asked) -> Answer:
        key = asked.headers.get("Idempotency-Key")
        if key in self._by_key and not self.forgets_keys:
            return Answer(201, {"ticket": self._by_key[key]}, {"x-idempotency-lookup": "hit"})
        wanted = asked.json["ticket"]
        number = len(self.tickets) + 1
        at = (_BEGAN + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
        ticket = {
            "id": number,
            "external_id": wanted.get("external_id"),
            "subject": wanted["subject"],
            "description": wanted["comment"]["body"],
            "status": "new",
            "tags": wanted.get("tags", []),
            "requester_id": 1000 + number,
            "created_at": at,
            "updated_at": at,
        }
        self.tickets.append(ticket)
        if key is not None:
            self._by_key[key] = ticket
        return Answer(201, {"ticket": ticket})

    def _search(self, asked: Asked) -> Answer:
        kind, tags = asked.query["query"].split(" ")
        assert kind == "type:ticket"
        assert (asked.query["sort_by"], asked.query["sort_order"]) == ("created_at", "desc")
        tag = tags.removeprefix("tags:")
        found = [
            each | {"result_type": "ticket"}
            for each in self.tickets
            if self.search_is_sloppy or tag in each["tags"]
        ][::-1]
        number, size = int(asked.query.get("page", 1)), int(asked.query.get("per_page", 100))
        has_more = number * size < len(found)
        return Answer(
            200,
            {
                "results": found[(number - 1) * size : number * size],
                "count": len(found),
                "next_page": f"http://elsewhere.example/api/v2/search?page={number + 1}"
                if has_more
                else None,
                "previous_page": None,
            },
        )
