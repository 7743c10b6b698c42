"""
Whether this process lives, whether it can serve, and what it counts.
"""

from typing import Literal

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from agent.api.accepting import JSON
from agent.api.document import answers
from agent.api.parts import ServiceParts
from agent.api.problems import problem_of, request_id_of, respond
from agent.api.wire import DependencyView, Liveness, Readiness
from core.errors import DependencyUnavailable

_NOT_STORED = {"Cache-Control": "no-store"}


def health_routes(parts: ServiceParts) -> APIRouter:
    router = APIRouter()

    @router.get("/livez", summary="The process lives", responses=answers({200: "Liveness"}, errors=()))
    async def livez() -> Response:
        return Response(msgspec.json.encode(Liveness()), media_type=JSON, headers=_NOT_STORED)

    @router.get(
        "/readyz",
        summary="Whether turns can be served, and each dependency's state",
        responses=answers({200: "Readiness"}, errors=(503,)),
    )
    async def readyz(request: Request) -> Response:
        seen = {
            name: DependencyView(state="up" if status.is_up else "down", since=status.since)
            for name, status in parts.dependencies().items()
        }
        if not parts.can_serve():
            problem = problem_of(DependencyUnavailable("state"))
            extra = {"dependencies": msgspec.to_builtins(seen)}
            return respond(problem, request_id=request_id_of(request), stored=None, extra=extra)
        is_degraded = any(view.state == "down" for view in seen.values())
        status: Literal["ready", "degraded"] = "degraded" if is_degraded else "ready"
        readiness = Readiness(status=status, dependencies=seen)
        return Response(msgspec.json.encode(readiness), media_type=JSON, headers=_NOT_STORED)

    @router.get(
        "/metrics",
        summary="Prometheus' text format",
        responses={
            **answers({}, errors=()),
            200: {
                "description": "Counts and times.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
        },
        response_class=Response,
    )
    async def metrics() -> Response:
        return Response(parts.metrics.render(), media_type=parts.metrics.content_type, headers=_NOT_STORED)

    return router
