"""The fake answers as the control plane does: one scenario, told to both."""

import re
from typing import Any

import httpx
import pytest
from careline_client.fake import FakeCareline

from state.sql.engine import Database

NIL = "00000000-0000-0000-0000-000000000000"
Line = tuple[str, str, Any] | tuple[str, str, Any, dict[str, str]]
_TOOL = {"name": "t", "json_schema": {"type": "object"}}
SCENARIO: list[Line] = [
    # `{n}` is the id in the answer to line n.
    ("POST", "/agent-classes", {"name": "A"}),
    ("POST", "/agent-classes", {"name": "A"}),
    ("POST", "/agent-classes", {"name": "B", "description": "b"}),
    ("PATCH", "/agent-classes/{2}", {"name": "A"}),
    ("PATCH", "/agent-classes/{2}", {"description": None}),
    ("PATCH", "/agent-classes/{2}", {"name": None}),
    ("PATCH", "/agent-classes/{2}", {"nmae": "x"}),
    ("GET", "/agent-classes", None),
    ("GET", "/agent-classes?limit=1&offset=1", None),
    ("GET", "/agent-classes?limit=0", None),
    ("GET", "/agent-classes?limit=1001", None),
    ("GET", "/agent-classes?offset=-1", None),
    ("GET", f"/agent-classes/{NIL}", None),
    ("GET", "/agent-classes/not-an-id", None),
    ("POST", "/model-providers", {"name": "P"}),
    ("POST", "/system-prompts", {"name": "S"}),
    ("POST", "/system-prompts", {"name": "S", "content": "c", "agent_class_id": "{0}"}),
    ("POST", "/system-prompts", {"name": "S", "content": "c", "agent_class_id": NIL}),
    ("POST", "/tools", _TOOL),
    ("POST", "/tools/sync", {"tools": [{**_TOOL, "description": "d"}, {**_TOOL, "name": "u"}]}),
    ("POST", "/agent-definitions", {"name": "D e", "agent_class_id": "{0}", "tool_ids": ["{18}"]}),
    ("POST", "/agent-definitions", {"name": "D-e", "agent_class_id": "{0}", "tool_ids": ["{18}", NIL]}),
    ("POST", "/agent-definitions", {"name": "D-e", "agent_class_id": "{0}", "system_prompt_id": "{16}"}),
    ("GET", "/agent-definitions/{22}/config", None),
    ("POST", "/agent-definitions/{22}/tools", {"tool_ids": ["{18}", "{18}"]}),
    ("PATCH", "/agent-definitions/{22}", {"status": "published"}),
    ("PATCH", "/agent-definitions/{22}", {"name": "Other"}),
    ("PATCH", "/agent-definitions/{22}", {"status": "deprecated"}),
    ("POST", "/agent-definitions", {"name": "x", "agent_class_id": "{0}", "structured_output_id": NIL}),
    ("POST", "/deployments", {"name": "L", "agent_definition_id": "{20}"}),
    ("PATCH", "/deployments/{29}", {"status": "active"}),
    ("PATCH", "/deployments/{29}", {"status": "completed"}),
    ("GET", "/deployments?environment=staging", None),
    ("GET", "/deployments?active_only=true", None),
    ("DELETE", "/agent-definitions/{20}", None),
    ("DELETE", "/tools/{18}", None),
    ("DELETE", "/deployments/{29}", None),
    ("DELETE", "/deployments/{29}", None),
    ("DELETE", "/agent-definitions/{20}", None),
    ("POST", "/tools", {**_TOOL, "name": "k"}, {"Idempotency-Key": "k1"}),
    ("POST", "/tools", {**_TOOL, "name": "k"}, {"Idempotency-Key": "k1"}),
    ("POST", "/tools", {**_TOOL, "name": "l"}, {"Idempotency-Key": "k1"}),
    ("GET", "/tools", None),
]


@pytest.fixture
def fake() -> FakeCareline:
    return FakeCareline(spawning_reads=1000)


def _answers(client: httpx.Client) -> list[Any]:
    """Status and body of each line; ids are named by where they came first, times and wordings are left out."""
    ids: dict[str, str] = {}
    made: list[str] = []
    told: list[Any] = []
    for n, (method, path, body, *more) in enumerate(SCENARIO):
        response = client.request(
            method,
            _filled(path, made),
            json=_filled(body, made),
            headers={"X-Request-ID": f"line-{n}", **(more[0] if more else {})},
        )
        content = response.json() if response.content else None
        made.append(content.get("id", "") if isinstance(content, dict) else "")
        told.append((method, path, response.status_code, _plain(content, ids)))
    return told


def _filled(value: Any, made: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, made) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, made) for each in value]
    if isinstance(value, str):
        return re.sub(r"\{(\d+)\}", lambda found: made[int(found[1])], value)
    return value


def _plain(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_plain(each, ids) for each in value]
    if isinstance(value, dict):
        if isinstance(value.get("detail"), str):
            return "a sentence"
        return {
            name: "" if name in ("created_at", "updated_at", "msg", "type") else _plain(each, ids)
            for name, each in sorted(value.items())
        }
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f-]{36}", value):
        return ids.setdefault(value, f"id {len(ids)}")
    return value


def test_the_fake_answers_as_the_service_does(
    fake: FakeCareline, database: Database, plane_address: str
) -> None:
    with httpx.Client(base_url="http://fake/api/v1", transport=fake.transport) as client:
        by_the_fake = _answers(client)
    with httpx.Client(base_url=f"{plane_address}/api/v1", timeout=20) as client:
        by_the_service = _answers(client)

    for ours, theirs in zip(by_the_fake, by_the_service, strict=True):
        assert ours == theirs
