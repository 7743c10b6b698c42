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
from starlette.types import Receive, Scope, Send

from agent.api.admission import Admission, most_turns
from agent.api.chat import chat_routes
from agent.api.conversations import conversation_routes
from agent.api.document import install_document
from agent.api.edge import Edge
from agent.api.health import health_routes
from agent.api.origins import Origins
from agent.api.parts import ServiceParts
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


def create_app(parts: ServiceParts, *, pages: Sequence[APIRouter] = ()) -> Service:
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
        conversation_routes(parts, callers),
        turn_routes(parts, callers),
        visitor_routes(callers, parts.limits),
        health_routes(parts),
        *pages,
    ):
        app.include_router(router)
    problems = ProblemResponses(parts.log)
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
