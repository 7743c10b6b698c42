"""What a real plane has, and how to empty it between two deploys."""

import json
from typing import Any

import httpx

from agent.deploy.declared import SECTIONS

_MOVES = frozenset({"updated_at", "version", "definition_version", "probed_at"})
_PLACES = frozenset({"id", "slug", "created_at"})
_STARTING = frozenset({"active", "spawning"})
Content = dict[str, list[dict[str, Any]]]


def client_of(url: str, *, path: str = "/api/v1") -> httpx.AsyncClient:
    """Keeps no connection: one that the server has just left would be a fault that nobody asked for."""
    return httpx.AsyncClient(
        base_url=f"{url}{path}", timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
    )


async def content_of(client: httpx.AsyncClient) -> Content:
    """All rows, but for what moves with each touch. A deployment that is given back serves once its probes pass again."""
    content: Content = {}
    for section in SECTIONS.values():
        response = await client.get(f"/{section.kind}", params={"limit": 1000})
        response.raise_for_status()
        content[section.kind] = [
            {
                name: "active" if name == "status" and value in _STARTING else value
                for name, value in row.items()
                if name not in _MOVES
            }
            for row in response.json()
        ]
    return content


def by_name(content: Content, *, without: frozenset[str] = _PLACES) -> Content:
    """With names in the place of ids, in an order that does not say what came first."""
    names = {row["id"]: row["name"] for rows in content.values() for row in rows}

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(each) for each in value]
        return names.get(value, value) if isinstance(value, str) else value

    return {
        kind: sorted(
            ({name: named(value) for name, value in row.items() if name not in without} for row in rows),
            key=lambda row: json.dumps(row, sort_keys=True, default=str),
        )
        for kind, rows in content.items()
    }


async def empty(client: httpx.AsyncClient) -> None:
    for section in reversed(tuple(SECTIONS.values())):
        for row in (await client.get(f"/{section.kind}", params={"limit": 1000})).json():
            (await client.delete(f"/{section.kind}/{row['id']}")).raise_for_status()
