"""
The routes that every kind of resource has: make one, list them, read, change and delete one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from agent.api.control.requests import PlaneCallers, name_of, request_key
from agent.api.control.wire import ErrorDetail, ValidationDetail
from agent.control.plane import Answer, Changing, ControlPlane
from core.control_records import Resource

R = TypeVar("R", bound=Resource)

JSON = "application/json"
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1)]
_BEFORE = "Only what was made before this one: pages that do not shift while others are created."
ALWAYS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDetail} for status in (401, 403, 413, 500, 503, 504)
}
ALWAYS[422] = {"model": ValidationDetail}
NOT_THERE: dict[int | str, dict[str, Any]] = {404: {"model": ErrorDetail}}
IN_THE_WAY: dict[int | str, dict[str, Any]] = {409: {"model": ErrorDetail}}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    limit: Limit = 100
    offset: Offset = 0
    before: Annotated[UUID | None, Query(description=_BEFORE)] = None


Paged = Annotated[Page, Depends()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """The models of one kind; `shown` makes the third of its record."""

    create: type[BaseModel]
    update: type[BaseModel]
    read: type[BaseModel]
    shown: Callable[[Any], BaseModel]


def encoded(value: BaseModel | list[Any]) -> bytes:
    if isinstance(value, list):
        return b"[" + b",".join(encoded(each) for each in value) + b"]"
    return value.model_dump_json().encode()


def answered(answer: Answer) -> Response:
    return Response(answer.body, status_code=answer.status, media_type=JSON if answer.body else None)


def fields_of(body: BaseModel, *, only_given: bool) -> dict[str, Any]:
    """The record's fields: lists become tuples, enumerations stay."""
    names = body.model_fields_set if only_given else type(body).model_fields
    return {name: _field(getattr(body, name)) for name in names}


def add_routes(
    router: APIRouter,
    kind: type[R],
    bodies: Bodies,
    *,
    plane: ControlPlane,
    callers: PlaneCallers,
) -> None:
    create_model, update_model, read_model = bodies.create, bodies.update, bodies.read
    name = create_model.__name__.removesuffix("Create")
    path = f"/{kind.kind}"

    async def create(request: Request, body: create_model) -> Response:  # type: ignore[valid-type]
        caller = await callers(request)

        async def work(changing: Changing) -> Answer:
            made = await changing.create(kind, fields_of(body, only_given=False))
            return Answer(201, encoded(bodies.shown(made)))

        key = request_key(request, may_name_one=True)
        return answered(await plane.change(caller.tenant, name_of(caller), key, work))

    async def read(request: Request, id: UUID) -> Response:
        caller = await callers(request)
        return answered(Answer(200, encoded(bodies.shown(await plane.get(caller.tenant, kind, id)))))

    async def update(request: Request, id: UUID, body: update_model) -> Response:  # type: ignore[valid-type]
        caller = await callers(request)

        async def work(changing: Changing) -> Answer:
            changed = await changing.update(kind, id, fields_of(body, only_given=True))
            return Answer(200, encoded(bodies.shown(changed)))

        return answered(await plane.change(caller.tenant, name_of(caller), request_key(request), work))

    async def delete(request: Request, id: UUID) -> Response:
        caller = await callers(request)

        async def work(changing: Changing) -> Answer:
            await changing.delete(kind, id)
            return Answer(204, b"")

        return answered(await plane.change(caller.tenant, name_of(caller), request_key(request), work))

    def add(where: str, handler: Callable[..., Any], method: str, **more: Any) -> None:
        add_route(router, where, handler, method, operation=f"{handler.__name__}_{name}", **more)

    add(path, create, "POST", status_code=201, response_model=read_model, responses=ALWAYS | IN_THE_WAY)
    one = path + "/{id}"
    add(one, read, "GET", response_model=read_model, responses=ALWAYS | NOT_THERE)
    add(one, update, "PATCH", response_model=read_model, responses=ALWAYS | NOT_THERE | IN_THE_WAY)
    add(
        one, delete, "DELETE", status_code=204, response_model=None, responses=ALWAYS | NOT_THERE | IN_THE_WAY
    )


def add_route(
    router: APIRouter, path: str, handler: Callable[..., Any], method: str, *, operation: str, **more: Any
) -> None:
    """Both with and without a slash at the end, since clients do not follow redirects."""
    router.add_api_route(path, handler, methods=[method], operation_id=operation, **more)
    router.add_api_route(
        path + "/", handler, methods=[method], operation_id=f"{operation}_", include_in_schema=False, **more
    )


def _field(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
