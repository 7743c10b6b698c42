"""What the library calls, sends and reads is what the service documents; and a difference would be found."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from careline_client import Careline, Creation, resources
from careline_client.control import (
    AgentDefinitions,
    Deployments,
    ModelProviders,
    Resources,
    Tools,
)
from careline_client.conversing import Chat, Conversations

from state.sql.engine import Database
from tests.client.drift import Document, drift_of_request, drift_of_type
from tests.control.plane import served_plane

ID = "5a8f0f0e-4c1b-4f5e-9d55-0d7a7b4a6e01"
PLANE = "/api/v1"
SENT = ("AgentClass", "ModelProvider", "SystemPrompt", "Tool", "AgentDefinition", "Deployment")
READ = {
    **{kind: f"{kind}Read" for kind in SENT},
    "DefinitionConfig": "AgentDefinitionConfig",
    "Verification": "ModelProviderVerification",
    "Model": "ModelRead",
    "Change": "ChangeRead",
}
CHAT = {
    "Answer": "TurnResult",
    "Reply": "Reply",
    "Citation": "Citation",
    "Message": "MessageView",
    "Conversation": "ConversationView",
}
CREATIONS: list[Creation] = [Creation("agent-classes", {"name": "A"})]
CALLS: dict[str, Callable[[Careline], Any]] = {
    **{
        f"{kind}.{name}": call
        for kind in (
            "agent_classes",
            "model_providers",
            "system_prompts",
            "tools",
            "agent_definitions",
            "deployments",
        )
        for name, call in {
            "create": lambda c, kind=kind: getattr(c, kind).create({"name": "A"}),
            "get": lambda c, kind=kind: getattr(c, kind).get(ID),
            "find": lambda c, kind=kind: getattr(c, kind).find(ID),
            "find_named": lambda c, kind=kind: getattr(c, kind).find_named("A"),
            "get_or_create": lambda c, kind=kind: getattr(c, kind).get_or_create({"name": "A"}),
            "list": lambda c, kind=kind: getattr(c, kind).list(),
            "iterate": lambda c, kind=kind: list(getattr(c, kind).iterate()),
            "update": lambda c, kind=kind: getattr(c, kind).update(ID, {"name": "A"}),
            "delete": lambda c, kind=kind: getattr(c, kind).delete(ID),
        }.items()
    },
    "filters of prompts": lambda c: c.system_prompts.list(agent_class_id=ID, status="draft"),
    "filters of definitions": lambda c: c.agent_definitions.list(status="draft"),
    "filters of deployments": lambda c: c.deployments.list(environment="production", active_only=True),
    "model_providers.verify": lambda c: c.model_providers.verify(ID),
    "model_providers.models": lambda c: c.model_providers.models(ID),
    "tools.sync": lambda c: c.tools.sync([{"name": "t", "json_schema": {}}]),
    "tools.discover": lambda c: c.tools.discover(),
    "agent_definitions.config": lambda c: c.agent_definitions.config(ID),
    "agent_definitions.set_tools": lambda c: c.agent_definitions.set_tools(ID, [ID]),
    "deployments.wait_until_active": lambda c: c.deployments.wait_until_active(ID),
    "client.create_with_rollback": lambda c: c.create_with_rollback(CREATIONS),
    "client.audit": lambda c: c.audit(kind="tools", resource_id=ID),
    "client.health": lambda c: c.health(),
    "chat.say": lambda c: c.chat.say("Hello"),
    "chat.stream": lambda c: list(c.chat.stream("Hello")),
    "chat.turn": lambda c: c.chat.turn("turn_1"),
    "chat.explain": lambda c: c.chat.explain("turn_1"),
    "chat.stop": lambda c: c.chat.stop("turn_1"),
    "conversations.get": lambda c: c.conversations.get("conv_1"),
    "conversations.messages": lambda c: list(c.conversations.messages("conv_1")),
    "conversations.follow": lambda c: next(c.conversations.follow("conv_1", after=0)),
    "conversations.feedback": lambda c: c.conversations.feedback("conv_1", score=5),
}
_NO_ROUTES = {"close", "request", "run", "events"}


@pytest.fixture
async def documents(database: Database, tmp_path: Path) -> tuple[Document, Document]:
    """The control plane's and the chat's, as they are served."""
    async with served_plane(database, tmp_path) as plane:
        chat = str(plane.client.base_url).replace(f"{PLANE}/", "/openapi.json")
        return (await plane.client.get("/openapi.json")).json(), (await plane.client.get(chat)).json()


def _requests(call: Callable[[Careline], Any]) -> list[httpx.Request]:
    made: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        made.append(request)
        if request.headers["Accept"] == "text/event-stream":
            turn = b'id: turn_1:0\nevent: accepted\ndata: {"turn_id": "turn_1"}\n\n'
            end = b"id: turn_1:1\nevent: done\ndata: {}\n\n"
            is_resumed = request.method == "GET"
            return httpx.Response(
                200, content=end if is_resumed else turn, headers={"Content-Type": "text/event-stream"}
            )
        is_list = request.method == "GET" and "limit" in request.url.params
        one: dict[str, Any] = {"id": ID, "name": "B", "status": "active", "messages": [], "next": None}
        is_page = request.url.path.startswith("/v1")
        return httpx.Response(200, json=[] if is_list and not is_page else one)

    with Careline("http://drift", transport=httpx.MockTransport(answer), sleep=lambda _: None) as client:
        call(client)
    return made


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}


def test_every_method_of_the_library_is_called_here() -> None:
    expected = {f"client.{name}" for name in _public(Careline) - _NO_ROUTES}
    surfaces = {
        "agent_classes": Resources,
        "model_providers": ModelProviders,
        "system_prompts": Resources,
        "tools": Tools,
        "agent_definitions": AgentDefinitions,
        "deployments": Deployments,
        "chat": Chat,
        "conversations": Conversations,
    }
    for name, kind in surfaces.items():
        expected |= {f"{name}.{method}" for method in _public(kind)}

    assert expected - CALLS.keys() == set()


async def test_every_route_that_is_called_is_documented(documents: tuple[Document, Document]) -> None:
    plane, chat = documents
    drift = []
    for name, call in CALLS.items():
        requests = _requests(call)
        assert requests, name
        for request in requests:
            is_plane = request.url.path.startswith(PLANE)
            drift += drift_of_request(request, plane if is_plane else chat, prefix=PLANE if is_plane else "")

    assert drift == []


async def test_every_body_is_documented(documents: tuple[Document, Document]) -> None:
    plane, chat = documents
    drift = []
    for kind in SENT:
        for form in ("Create", "Update"):
            drift += drift_of_type(getattr(resources, kind + form), kind + form, plane, is_sent=True)
    for names, document in ((READ, plane), (CHAT, chat)):
        for ours, theirs in names.items():
            drift += drift_of_type(getattr(resources, ours), theirs, document, is_sent=False)

    assert drift == []


@pytest.mark.parametrize(
    ("form", "schema", "change", "found"),
    [
        (
            "ToolCreate",
            "ToolCreate",
            lambda s: s["properties"].pop("json_schema"),
            "json_schema: no such field",
        ),
        ("ToolCreate", "ToolCreate", lambda s: s["required"].append("risk_level"), "risk_level: is required"),
        (
            "ToolCreate",
            "ToolCreate",
            lambda s: s["properties"].update(json_schema={"type": "string"}),
            "json_schema: ",
        ),
        ("ToolCreate", "RiskLevel", lambda s: s["enum"].remove("high"), "risk_level: "),
        (
            "ToolCreate",
            "ToolCreate",
            lambda s: s["properties"].update(description={"type": "string"}),
            "description: ",
        ),
        ("Tool", "ToolRead", lambda s: s["properties"].pop("risk_level"), "risk_level: no such field"),
        ("Tool", "ToolRead", lambda s: s["required"].remove("risk_level"), "risk_level: may be left out"),
        ("Tool", "RiskLevel", lambda s: s["enum"].append("deadly"), "risk_level: "),
        (
            "Tool",
            "ToolRead",
            lambda s: s["properties"].update(name={"anyOf": [{"type": "string"}, {"type": "null"}]}),
            "name: ",
        ),
        (
            "DefinitionConfig",
            "ToolRead",
            lambda s: s["properties"].update(name={"type": "integer"}),
            "tools: ",
        ),
    ],
)
async def test_a_planted_drift_of_a_body_is_found(
    documents: tuple[Document, Document], form: str, schema: str, change: Callable[[Any], Any], found: str
) -> None:
    plane: Any = copy.deepcopy(documents[0])
    change(plane["components"]["schemas"][schema])
    is_sent = form == "ToolCreate"
    theirs = form if is_sent else READ[form]
    drift = drift_of_type(getattr(resources, form), theirs, plane, is_sent=is_sent)

    assert any(f"{theirs}.{found}" in each for each in drift), drift


async def test_a_planted_drift_of_a_route_is_found(documents: tuple[Document, Document]) -> None:
    text = json.dumps(documents[0])
    (request,) = _requests(lambda c: c.tools.list(limit=5))
    moved = json.loads(text.replace('"/tools"', '"/instruments"'))
    closed = json.loads(text)
    del closed["paths"]["/tools"]["get"]
    renamed = json.loads(text.replace('"name": "limit"', '"name": "most"'))

    assert drift_of_request(request, documents[0], prefix=PLANE) == []
    assert drift_of_request(request, moved, prefix=PLANE) == ["GET /tools: no such path"]
    assert drift_of_request(request, closed, prefix=PLANE) == ["GET /tools: no such method"]
    assert drift_of_request(request, renamed, prefix=PLANE) == ["GET /tools: no query limit"]
