"""
Put the HTTP interface together: routes, the edge around them, and the contract's errors everywhere.

Opens and closes nothing: what it serves is made and ended by `agent.bootstrap`.
"""

import random
from collections.abc import Sequence
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api.admission import Admission, most_turns
from agent.api.chat import chat_routes
from agent.api.completions import completion_routes
from agent.api.conversations import conversation_routes
from agent.api.document import install_document
from agent.api.edge import Edge
from agent.api.feedback import feedback_routes
from agent.api.health import health_routes
from agent.api.mcp import PATH as MCP_PATH
from agent.api.mcp import McpEndpoint
from agent.api.openai_errors import PATHS as OPENAI_PATHS
from agent.api.openai_errors import respond_as_openai
from agent.api.origins import Origins
from agent.api.parts import CONTROL_PREFIX, ControlParts, ServiceParts
from agent.api.problems import ProblemResponses
from agent.api.security import Callers
from agent.api.turns import turn_routes
from agent.api.visitors import visitor_routes
from core.errors import CarelineError


class Service(FastAPI):
    """FastAPI behind `Admission`: what is refused costs none of its layers."""

    admission: Admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.admission(scope, receive, send)


class _ControlPlane:
    """Made when it is first asked for: its models and routes are some megabytes that many installations never use."""

    def __init__(self, parts: ServiceParts, control: ControlParts, callers: Callers) -> None:
        self._parts = parts
        self._control = control
        self._callers = callers
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = self._made()
        await self._app(scope, receive, send)

    def _made(self) -> ASGIApp:
        from agent.api.control.app import create_control_app
        from agent.api.control.requests import PlaneCallers

        return create_control_app(
            self._control.plane,
            PlaneCallers(self._callers),
            providers=self._control.providers,
            sources=self._control.sources,
            dependencies=self._parts.dependencies,
            numbers=self._parts.metrics.numbers,
            recent=self._control.recent,
        )


def create_app(
    parts: ServiceParts, *, pages: Sequence[APIRouter] = (), mcp: McpEndpoint | None = None
) -> Service:
    """`pages` are further routes that are no part of the public contract's JSON, such as the widget's."""
    app = Service(
        title="Careline",
        version=version("careline"),
        description="A customer-support agent. See docs/api.md for what clients may rely on.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Its own telemetry would count again what `Edge` counts, and write down exceptions that may quote the customer.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    callers = Callers(parts)
    for router in (
        chat_routes(parts, callers),
        completion_routes(parts, callers),
        conversation_routes(parts, callers),
        turn_routes(parts, callers),
        feedback_routes(parts, callers),
        visitor_routes(callers, parts.limits),
        health_routes(parts),
        *pages,
    ):
        app.include_router(router)
    if mcp is not None:
        app.router.routes.append(Route(MCP_PATH, endpoint=mcp, methods=["POST"]))
    if parts.control is not None:
        app.mount(CONTROL_PREFIX, _ControlPlane(parts, parts.control, callers))
    problems = ProblemResponses(parts.log, others=dict.fromkeys(OPENAI_PATHS, respond_as_openai))
    for kind in (CarelineError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, problems)
    origins = Origins(parts.settings.allowed_origins, is_local=parts.settings.is_local)
    app.add_middleware(Edge, origins=origins, metrics=parts.metrics, log=parts.log)
    app.admission = Admission(
        super(Service, app).__call__,
        most_turns=most_turns(parts.settings),
        rng=random.Random(),
        origins=origins,
        metrics=parts.metrics,
    )
    install_document(app)
    return app
