"""
The control plane of a `FakeCareline`: its resources in memory, under the rules of the contract.
"""

import copy
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, get_args, get_type_hints

import httpx

from careline_client.plane import PREFIX
from careline_client.resources import (
    AgentClassCreate,
    AgentClassUpdate,
    AgentDefinitionCreate,
    AgentDefinitionUpdate,
    DefinitionConfig,
    DeploymentCreate,
    DeploymentUpdate,
    ModelProviderCreate,
    ModelProviderUpdate,
    SystemPromptCreate,
    SystemPromptUpdate,
    ToolCreate,
    ToolUpdate,
)

_TIMED = {"agent-classes", "model-providers", "system-prompts", "agent-definitions", "deployments"}
_CREATES: Mapping[str, type] = {
    "agent-classes": AgentClassCreate,
    "model-providers": ModelProviderCreate,
    "system-prompts": SystemPromptCreate,
    "tools": ToolCreate,
    "agent-definitions": AgentDefinitionCreate,
    "deployments": DeploymentCreate,
}
_UPDATES: Mapping[str, type] = {
    "agent-classes": AgentClassUpdate,
    "model-providers": ModelProviderUpdate,
    "system-prompts": SystemPromptUpdate,
    "tools": ToolUpdate,
    "agent-definitions": AgentDefinitionUpdate,
    "deployments": DeploymentUpdate,
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "agent-classes": {},
    "model-providers": {"api_base_url": None, "config": {}},
    "system-prompts": {
        "status": "draft",
        "content_storage_type": "inline",
        "meta": None,
        "agent_class_id": None,
    },
    "tools": {"safety_policy": None, "risk_level": "low"},
    "agent-definitions": {
        "status": "draft",
        "execution_mode": "ephemeral",
        "config": {},
        "allow_outbound_a2a": False,
        "system_prompt_id": None,
        "structured_output_id": None,
        "model_provider_id": None,
        "model_name": None,
        "tool_ids": [],
        "version": 1,
    },
    "deployments": {
        "environment": "production",
        "status": "spawning",
        "config": {},
        "project_context": {},
        "blueprint_id": None,
        "spec_md_path": None,
        "failure": None,
        "definition_version": None,
        "probed_at": None,
    },
}
_REFERENCES: Mapping[str, str] = {
    "agent_class_id": "agent-classes",
    "system_prompt_id": "system-prompts",
    "model_provider_id": "model-providers",
    "agent_definition_id": "agent-definitions",
    "tool_ids": "tools",
}
_FILTERS = ("agent_class_id", "status", "environment")


class Refused(Exception):
    """What the service would answer with an error."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(kw_only=True)
class FakePlane:
    """
    A deployment is `spawning` for `spawning_reads` reads; then it `becomes` active or failed, with that `failure`.
    """

    becomes: str = "active"
    failure: str | None = None
    spawning_reads: int = 1
    _kept: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {kind: {} for kind in _CREATES}
    )
    _reads: dict[str, int] = field(default_factory=dict)

    def kept(self, kind: str) -> list[dict[str, Any]]:
        """What there is of a kind (`agent-classes`), newest first."""
        return list(reversed(self._kept[kind].values()))

    def done(self, request: httpx.Request) -> tuple[int, Any]:
        """
        Status and content.

        Raises:
            Refused
        """
        body = json.loads(request.content) if request.content else {}
        path = request.url.path.rstrip("/")
        if path == f"{PREFIX}/health":
            return 200, {"status": "healthy", "version": "fake", "dependencies": {}}
        kind, _, rest = path.removeprefix(f"{PREFIX}/").partition("/")
        if not path.startswith(PREFIX) or kind not in self._kept:
            raise Refused(404, f"no such route: {path}")
        id, _, action = rest.partition("/")
        if not id and request.method == "POST":
            return 201, self.create(kind, body)
        if not id:
            return 200, self._page(kind, request)
        if (kind, id) == ("tools", "sync"):
            return 200, [self._synced(tool) for tool in body["tools"]]
        found = self._kept[kind].get(_uuid(id))
        if found is None:
            raise Refused(404, f"There is no {id} among {kind}.")
        return self._done_to(kind, found, f"{request.method} {action}".strip(), body)

    def _done_to(
        self, kind: str, found: dict[str, Any], action: str, body: dict[str, Any]
    ) -> tuple[int, Any]:
        match action:
            case "GET":
                return 200, self._read(kind, found)
            case "PATCH":
                return 200, self._updated(kind, found, body)
            case "DELETE":
                self.delete(kind, found["id"])
                return 204, None
            case "POST tools":
                return 200, self._changed(kind, found, {"tool_ids": list(dict.fromkeys(body["tool_ids"]))})
        answers: Mapping[str, Callable[[], Any]] = {
            "POST verify": lambda: {"status": "ok", "message": "as a fake"},
            "GET models": list,
            "GET config": lambda: self._config(found),
        }
        if action in answers:
            return 200, answers[action]()
        raise Refused(404, f"no such route: {action} of {kind}")

    def create(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Refused."""
        _check_fields(_CREATES[kind], body)
        self._check_references(body)
        self._check_name(kind, body, None)
        made = {"id": str(uuid.uuid4()), "description": None, **copy.deepcopy(_DEFAULTS[kind]), **body}
        if kind in _TIMED:
            made["created_at"] = made["updated_at"] = datetime.now(UTC).isoformat()
        if kind == "deployments":
            made["definition_version"] = self._kept["agent-definitions"][made["agent_definition_id"]][
                "version"
            ]
        if kind == "agent-definitions":
            made["slug"] = self._slug(body["name"])
        self._kept[kind][made["id"]] = made
        return made

    def _synced(self, tool: dict[str, Any]) -> dict[str, Any]:
        found = next((each for each in self.kept("tools") if each["name"] == tool["name"]), None)
        if found is None:
            return self.create("tools", tool)
        return self._changed("tools", found, {**_DEFAULTS["tools"], "description": None, **tool})

    def _page(self, kind: str, request: httpx.Request) -> list[dict[str, Any]]:
        query = request.url.params
        limit = _number(query, "limit", default=100, least=1, most=1000)
        offset = _number(query, "offset", default=0, least=0, most=2**31 - 1)
        asked = {name: query[name] for name in _FILTERS if name in query}
        if kind == "deployments" and query.get("active_only") == "true":
            asked["status"] = "active"
        found = [
            each for each in self.kept(kind) if all(each.get(name) == value for name, value in asked.items())
        ]
        return found[offset : offset + limit]

    def _read(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        if kind == "deployments" and found["status"] == "spawning":
            self._reads[found["id"]] = self._reads.get(found["id"], 0) + 1
            if self._reads[found["id"]] > self.spawning_reads:
                found["status"] = self.becomes
                found["failure"] = self.failure
        return found

    def _config(self, found: Mapping[str, Any]) -> dict[str, Any]:
        prompt = self._kept["system-prompts"].get(found["system_prompt_id"])
        names = get_type_hints(DefinitionConfig)
        return {name: found.get(name) for name in names} | {
            "system_prompt": prompt["content"] if prompt is not None else None,
            "structured_output_schema": found["config"].get("structured_output_schema"),
            "tools": [self._kept["tools"][id] for id in found["tool_ids"]],
        }

    def _updated(self, kind: str, found: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        _check_fields(_UPDATES[kind], body)
        return self._changed(kind, found, body)

    def _changed(self, kind: str, found: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        changed = {name: value for name, value in body.items() if found[name] != value}
        self._check_references(changed)
        self._check_name(kind, changed, found["id"])
        was = found.get("status")
        is_deprecated_now = changed == {"status": "deprecated"} and was == "published"
        if was in ("published", "deprecated") and changed and not is_deprecated_now:
            raise Refused(409, f"It is {was} and does not change any more, but for becoming deprecated.")
        if kind == "deployments" and changed.get("status") == "active":
            raise Refused(409, "A deployment becomes active when its probes pass.")
        found |= changed
        if "version" in found and changed:
            found["version"] += 1
        if changed and kind in _TIMED:
            found["updated_at"] = datetime.now(UTC).isoformat()
        return found

    def _check_references(self, body: Mapping[str, Any]) -> None:
        wrong: list[tuple[str | int, ...]] = []
        for name, other in _REFERENCES.items():
            value = body.get(name)
            if isinstance(value, list):
                wrong += [(name, place) for place, id in enumerate(value) if id not in self._kept[other]]
            elif value is not None and value not in self._kept[other]:
                wrong.append((name,))
        if body.get("structured_output_id") is not None:
            wrong.append(("structured_output_id",))
        _refuse([(("body", *loc), "unknown_reference") for loc in wrong])

    def _check_name(self, kind: str, body: Mapping[str, Any], own: str | None) -> None:
        if kind != "agent-classes" or "name" not in body:
            return
        if any(each["name"] == body["name"] and each["id"] != own for each in self.kept(kind)):
            raise Refused(409, f"An agent class named {body['name']!r} exists")

    def _slug(self, name: str) -> str:
        base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "agent"
        taken = {each["slug"] for each in self.kept("agent-definitions")}
        return next(slug for n in count(1) if (slug := base if n == 1 else f"{base}-{n}") not in taken)

    def delete(self, kind: str, id: str) -> None:
        """Raises Refused."""
        users = [
            each["name"]
            for name, other in _REFERENCES.items()
            if other == kind
            for resources in self._kept.values()
            for each in resources.values()
            if id == each.get(name) or (name == "tool_ids" and id in each.get(name, ()))
        ]
        if users:
            raise Refused(409, f"In use by {', '.join(users)}.")
        del self._kept[kind][id]


def details_of(wrong: Sequence[tuple[tuple[str | int, ...], str]]) -> list[dict[str, Any]]:
    return [{"loc": list(loc), "msg": "wrong", "type": kind} for loc, kind in wrong]


def _check_fields(body_type: type, body: Mapping[str, Any]) -> None:
    """Unknown, missing and null fields, in the order of the contract's `loc`."""
    hints = get_type_hints(body_type)
    needed: frozenset[str] = vars(body_type)["__required_keys__"]
    wrong = [(("body", name), "missing") for name in hints if name in needed and name not in body]
    wrong += [
        (("body", name), "null")
        for name, value in body.items()
        if value is None and name in hints and type(None) not in get_args(hints[name])
    ]
    wrong += [(("body", name), "extra_forbidden") for name in body if name not in hints]
    _refuse(wrong)


def _number(query: httpx.QueryParams, name: str, *, default: int, least: int, most: int) -> int:
    told = query.get(name, str(default))
    if not told.isdecimal() or not least <= int(told) <= most:
        _refuse([(("query", name), "range")])
    return int(told)


def _uuid(id: str) -> str:
    try:
        return str(uuid.UUID(id))
    except ValueError:
        _refuse([(("path", "id"), "uuid_parsing")])
        raise


def _refuse(wrong: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
    if wrong:
        raise Refused(422, details_of(wrong))
