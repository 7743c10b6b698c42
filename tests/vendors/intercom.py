"""Intercom, as far as tickets are opened and searched: its API 2.16."""

from typing import Any

from tests.vendors.description import description
from tests.vendors.server import Answer, Asked, VendorServer

KEY = "intercom-key-0123456789"
TICKET_TYPE = "88"
_BEGAN = 1_795_780_800


class Intercom(VendorServer):
    def __init__(self) -> None:
        super().__init__(description("intercom-2.16.yaml", "/tickets", "/tickets/search", "/contacts"))
        self.tickets: list[dict[str, Any]] = []
        self.external_ids: set[str] = set()

    @property
    def subjects(self) -> list[str]:
        return [ticket["ticket_attributes"]["_default_title_"] for ticket in self.tickets]

    def makes_something(self, asked: Asked) -> bool:
        return asked.path == "/tickets"

    def handle(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != f"Bearer {KEY}":
            return Answer(401, _errors("unauthorized", "Access Token Invalid"))
        match asked.path:
            case "/contacts":
                external_id = asked.json["external_id"]
                if external_id in self.external_ids:
                    return Answer(409, _errors("conflict", "A contact matching those details already exists"))
                self.external_ids.add(external_id)
                return Answer(200, {"type": "contact", "id": f"c_{external_id}", "external_id": external_id})
            case "/tickets":
                return self._create(asked.json)
            case _:
                return self._search(asked.json)

    def _create(self, wanted: dict[str, Any]) -> Answer:
        (contact,) = wanted["contacts"]
        if "external_id" in contact and contact["external_id"] not in self.external_ids:
            return Answer(404, _errors("contact_not_found", "User Not Found"))
        if wanted["ticket_type_id"] != TICKET_TYPE:
            return Answer(400, _errors("parameter_invalid", "Ticket type is not valid"))
        number = len(self.tickets) + 1
        ticket = {
            "type": "ticket",
            "id": str(500 + number),
            "ticket_id": str(number),
            "category": "Customer",
            "ticket_attributes": wanted["ticket_attributes"],
            "ticket_state": {"type": "ticket_state", "id": "1", "category": "submitted"},
            "created_at": _BEGAN + number,
            "updated_at": _BEGAN + number,
            "open": True,
        }
        self.tickets.append(ticket)
        return Answer(200, ticket)

    def _search(self, wanted: dict[str, Any]) -> Answer:
        query, pagination = wanted["query"], wanted["pagination"]
        assert (query["field"], query["operator"]) == ("description", "~")
        found = [
            each
            for each in self.tickets
            if query["value"] in each["ticket_attributes"]["_default_description_"]
        ]
        begin, size = int(pagination.get("starting_after", 0)), pagination["per_page"]
        end = begin + size
        pages: dict[str, Any] = {"type": "pages", "page": begin // size + 1, "per_page": size}
        if end < len(found):
            pages["next"] = {"per_page": size, "starting_after": str(end)}
        return Answer(
            200,
            {"type": "ticket.list", "tickets": found[begin:end], "total_count": len(found), "pages": pages},
        )


def _errors(code: str, message: str) -> dict[str, Any]:
    return {"type": "error.list", "request_id": "r1", "errors": [{"code": code, "message": message}]}
