"""
The control plane as an application of its own, mounted under `/api/v1`: its errors have another shape than the chat's.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from agent.api.control.requests import BodyLimit, PlaneCallers
from agent.api.control.resources import ALWAYS
from agent.api.control.routes import control_routes
from agent.api.control.wire import LogLine, PlaneHealth
from agent.api.problems import details_of, problem_of
from agent.control.plane import ControlPlane
from agent.control.providers import Providers
from agent.control.sources import ToolSources
from core.errors import CarelineError, Conflict, FieldError, NotFound
from core.resilience.degradation import DependencyStatus
from core.telemetry.recent import RecentEvents

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
_LEVELS = "^(debug|info|warning|error)$"


def create_control_app(
    plane: ControlPlane,
    callers: PlaneCallers,
    *,
    providers: Providers,
    sources: ToolSources,
    dependencies: Callable[[], Mapping[str, DependencyStatus]],
    numbers: Callable[[], Mapping[str, float]],
    recent: RecentEvents,
) -> BodyLimit:
    """`numbers` are the metrics by name."""
    app = FastAPI(
        title="Careline control plane",
        version=version("careline"),
        description="Agent classes, providers, prompts, tools, definitions and deployments. See docs/control-plane.md.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    router = control_routes(plane, callers, providers=providers, sources=sources)
    app.include_router(router)
    _add_service_routes(app, callers, dependencies, numbers, recent)
    _refuse_other_methods(app, [*router.routes, *app.router.routes])
    for kind in (CarelineError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _failed)
    return BodyLimit(app)


def _refuse_other_methods(app: FastAPI, routes: Iterable[BaseRoute]) -> None:
    """With all methods that a path has in `Allow`; and `/tools/sync` is no `/tools/{id}` for any method."""
    allowed: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, Route | APIRoute):
            allowed.setdefault(route.path, set()).update(route.methods or ())
    for path, methods in allowed.items():
        refusal = Route(path, _refusing(methods), methods=sorted(_METHODS - methods), include_in_schema=False)
        app.router.routes.insert(len(app.router.routes) if "{" in path else 0, refusal)


def _refusing(allowed: Collection[str]) -> Callable[[Request], Awaitable[Response]]:
    async def refuse(_: Request) -> Response:
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})

    return refuse


def _add_service_routes(
    app: FastAPI,
    callers: PlaneCallers,
    dependencies: Callable[[], Mapping[str, DependencyStatus]],
    numbers: Callable[[], Mapping[str, float]],
    recent: RecentEvents,
) -> None:
    @app.get("/health", response_model=PlaneHealth)
    async def health() -> PlaneHealth:
        states = {name: "up" if status.is_up else "down" for name, status in dependencies().items()}
        return PlaneHealth(
            status="degraded" if "down" in states.values() else "healthy",
            version=version("careline"),
            dependencies=states,
        )

    @app.get("/metrics", response_model=dict[str, float], responses=ALWAYS)
    async def metrics(request: Request) -> Mapping[str, float]:
        await callers(request)
        return numbers()

    @app.get("/logs", response_model=list[LogLine], responses=ALWAYS)
    async def logs(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        deployment_id: Annotated[str | None, Query(max_length=64)] = None,
        level: Annotated[str | None, Query(pattern=_LEVELS)] = None,
    ) -> Sequence[LogLine]:
        await callers(request)
        return [
            LogLine(
                timestamp=str(fields.pop("timestamp", "")),
                level=str(fields.pop("level", "")),
                message=str(fields.pop("event", "")),
                deployment_id=fields.pop("deployment_id", None),
                fields=fields,
            )
            for fields in recent.newest(limit=limit, level=level, deployment_id=deployment_id)
        ]


async def _failed(_: Request, exc: Exception) -> Response:
    problem = problem_of(exc)
    detail = (isinstance(exc, Conflict | NotFound) and str(exc)) or problem.detail
    if problem.status == 422:
        return JSONResponse({"detail": details_of(problem.fields)}, status_code=422)
    # An unreadable body is wrong in the same way as an invalid one: the wire knows no 400.
    if problem.status == 400:
        unreadable = FieldError(("body",), detail, "unreadable")
        return JSONResponse({"detail": details_of([unreadable])}, status_code=422)
    headers = {**problem.headers, "Cache-Control": "no-store"}
    return JSONResponse({"detail": detail}, status_code=problem.status, headers=headers)
