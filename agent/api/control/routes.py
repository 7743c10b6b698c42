"""
What the kinds of resource do not have in common: how each is listed, and what else can be asked of it.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from agent.api.control.requests import PlaneCallers, name_of, request_key
from agent.api.control.resources import (
    ALWAYS,
    IN_THE_WAY,
    NOT_THERE,
    Bodies,
    Limit,
    Offset,
    Page,
    Paged,
    add_route,
    add_routes,
    answered,
    encoded,
    fields_of,
)
from agent.api.control.wire import (
    AgentClassCreate,
    AgentClassRead,
    AgentClassUpdate,
    AgentDefinitionConfig,
    AgentDefinitionCreate,
    AgentDefinitionRead,
    AgentDefinitionTools,
    AgentDefinitionUpdate,
    ChangeRead,
    DeploymentCreate,
    DeploymentRead,
    DeploymentUpdate,
    ModelProviderCreate,
    ModelProviderRead,
    ModelProviderUpdate,
    ModelProviderVerification,
    ModelRead,
    SystemPromptCreate,
    SystemPromptRead,
    SystemPromptUpdate,
    ToolCreate,
    ToolDiscoverRequest,
    ToolRead,
    ToolSyncRequest,
    ToolUpdate,
)
from agent.control.plane import Answer, Changing, ControlPlane
from agent.control.providers import Providers
from agent.control.sealing import withheld
from agent.control.sources import ToolSources
from core.control_records import (
    AgentClass,
    AgentDefinition,
    Deployment,
    DeploymentStatus,
    ModelProvider,
    PublicationStatus,
    Resource,
    SystemPrompt,
    ToolRecord,
)
from core.errors import CarelineError, Conflict


def _shown_as(model: type[BaseModel]) -> Callable[[Any], BaseModel]:
    return model.model_validate


def _shown_provider(provider: ModelProvider) -> ModelProviderRead:
    return ModelProviderRead(
        id=provider.id,
        name=provider.name,
        api_base_url=provider.api_base_url,
        description=provider.description,
        config=withheld(provider.config),
        created_at=provider.created_at,
        updated_at=provider.updated_at,
    )


CLASSES = Bodies(
    create=AgentClassCreate, update=AgentClassUpdate, read=AgentClassRead, shown=_shown_as(AgentClassRead)
)
PROVIDERS = Bodies(
    create=ModelProviderCreate, update=ModelProviderUpdate, read=ModelProviderRead, shown=_shown_provider
)
PROMPTS = Bodies(
    create=SystemPromptCreate,
    update=SystemPromptUpdate,
    read=SystemPromptRead,
    shown=_shown_as(SystemPromptRead),
)
TOOLS = Bodies(create=ToolCreate, update=ToolUpdate, read=ToolRead, shown=_shown_as(ToolRead))
DEFINITIONS = Bodies(
    create=AgentDefinitionCreate,
    update=AgentDefinitionUpdate,
    read=AgentDefinitionRead,
    shown=_shown_as(AgentDefinitionRead),
)
DEPLOYMENTS = Bodies(
    create=DeploymentCreate, update=DeploymentUpdate, read=DeploymentRead, shown=_shown_as(DeploymentRead)
)


class _Listing:
    """GET of a whole kind: a bare array, newest first."""

    def __init__(self, router: APIRouter, plane: ControlPlane, callers: PlaneCallers) -> None:
        self._router = router
        self._plane = plane
        self._callers = callers

    def add(self, kind: type[Resource], bodies: Bodies, handler: Callable[..., Any]) -> None:
        add_route(
            self._router,
            f"/{kind.kind}",
            handler,
            "GET",
            operation=handler.__name__,
            response_model=list[bodies.read],  # type: ignore[name-defined]
            responses=ALWAYS,
        )

    async def answer(
        self,
        request: Request,
        kind: type[Resource],
        bodies: Bodies,
        fields: Mapping[str, Any],
        page: Page,
    ) -> Response:
        caller = await self._callers(request)
        given = {name: value for name, value in fields.items() if value is not None}
        found = await self._plane.find(
            caller.tenant, kind, given, limit=page.limit, offset=page.offset, before=page.before
        )
        return answered(Answer(200, encoded([bodies.shown(each) for each in found])))


def control_routes(
    plane: ControlPlane, callers: PlaneCallers, *, providers: Providers, sources: ToolSources
) -> APIRouter:
    router = APIRouter()
    _add_special_tool_routes(router, plane, callers, sources)
    for kind, bodies in (
        (AgentClass, CLASSES),
        (ModelProvider, PROVIDERS),
        (SystemPrompt, PROMPTS),
        (ToolRecord, TOOLS),
        (AgentDefinition, DEFINITIONS),
        (Deployment, DEPLOYMENTS),
    ):
        add_routes(router, kind, bodies, plane=plane, callers=callers)
    _add_lists(_Listing(router, plane, callers))
    _add_provider_routes(router, plane, callers, providers)
    _add_definition_routes(router, plane, callers)
    _add_deployment_routes(router, plane, callers)
    _add_audit(router, plane, callers)
    return router


def _add_lists(listing: _Listing) -> None:
    async def list_agent_classes(request: Request, page: Paged) -> Response:
        return await listing.answer(request, AgentClass, CLASSES, {}, page)

    async def list_model_providers(request: Request, page: Paged) -> Response:
        return await listing.answer(request, ModelProvider, PROVIDERS, {}, page)

    async def list_system_prompts(
        request: Request,
        page: Paged,
        agent_class_id: UUID | None = None,
        status: PublicationStatus | None = None,
    ) -> Response:
        fields = {"agent_class_id": agent_class_id, "status": status}
        return await listing.answer(request, SystemPrompt, PROMPTS, fields, page)

    async def list_tools(request: Request, page: Paged) -> Response:
        return await listing.answer(request, ToolRecord, TOOLS, {}, page)

    async def list_agent_definitions(
        request: Request, page: Paged, status: PublicationStatus | None = None
    ) -> Response:
        return await listing.answer(request, AgentDefinition, DEFINITIONS, {"status": status}, page)

    async def list_deployments(
        request: Request,
        page: Paged,
        environment: str | None = Query(None, max_length=64),
        active_only: bool = False,
    ) -> Response:
        fields = {"environment": environment, "status": DeploymentStatus.ACTIVE if active_only else None}
        return await listing.answer(request, Deployment, DEPLOYMENTS, fields, page)

    listing.add(AgentClass, CLASSES, list_agent_classes)
    listing.add(ModelProvider, PROVIDERS, list_model_providers)
    listing.add(SystemPrompt, PROMPTS, list_system_prompts)
    listing.add(ToolRecord, TOOLS, list_tools)
    listing.add(AgentDefinition, DEFINITIONS, list_agent_definitions)
    listing.add(Deployment, DEPLOYMENTS, list_deployments)


def _add_provider_routes(
    router: APIRouter, plane: ControlPlane, callers: PlaneCallers, providers: Providers
) -> None:
    @router.post(
        "/model-providers/{id}/verify", response_model=ModelProviderVerification, responses=ALWAYS | NOT_THERE
    )
    async def verify(request: Request, id: UUID) -> ModelProviderVerification:
        caller = await callers(request)
        found = await providers.verify(await plane.get(caller.tenant, ModelProvider, id))
        return ModelProviderVerification(status="ok" if found.is_ok else "failed", message=found.message)

    @router.get(
        "/model-providers/{id}/models",
        response_model=list[ModelRead],
        responses=ALWAYS | NOT_THERE | IN_THE_WAY,
    )
    async def models(request: Request, id: UUID) -> list[ModelRead]:
        caller = await callers(request)
        provider = await plane.get(caller.tenant, ModelProvider, id)
        try:
            found = await providers.models(provider)
        except CarelineError as exc:
            # A 5xx of ours would be asked again, for half a minute, by clients that cannot mend the provider.
            raise Conflict(f"The provider {provider.name} cannot be asked: {exc}") from exc
        return [ModelRead(id=each, name=each) for each in found]


def _add_special_tool_routes(
    router: APIRouter, plane: ControlPlane, callers: PlaneCallers, sources: ToolSources
) -> None:
    async def synced(request: Request, tools: list[ToolCreate]) -> Response:
        caller = await callers(request)

        async def work(changing: Changing) -> Answer:
            made = [await changing.sync_tool(fields_of(tool, only_given=False)) for tool in tools]
            return Answer(200, encoded([TOOLS.shown(each) for each in made]))

        key = request_key(request, may_name_one=True)
        return answered(await plane.change(caller.tenant, name_of(caller), key, work))

    @router.post("/tools/sync", response_model=list[ToolRead], responses=ALWAYS)
    async def sync(request: Request, body: ToolSyncRequest) -> Response:
        return await synced(request, body.tools)

    @router.post("/tools/discover", response_model=list[ToolRead], responses=ALWAYS)
    async def discover(request: Request, body: ToolDiscoverRequest) -> Response:
        await callers(request)
        found = await sources.tools(body.source)
        return await synced(
            request,
            [
                ToolCreate(name=each.name, description=each.description, json_schema=dict(each.parameters))
                for each in found
            ],
        )


def _add_definition_routes(router: APIRouter, plane: ControlPlane, callers: PlaneCallers) -> None:
    @router.get(
        "/agent-definitions/{id}/config", response_model=AgentDefinitionConfig, responses=ALWAYS | NOT_THERE
    )
    async def config(request: Request, id: UUID) -> AgentDefinitionConfig:
        caller = await callers(request)
        definition = await plane.get(caller.tenant, AgentDefinition, id)
        prompt = None
        if definition.system_prompt_id is not None:
            prompt = await plane.get(caller.tenant, SystemPrompt, definition.system_prompt_id)
        tools = await plane.several(caller.tenant, ToolRecord, definition.tool_ids)
        schema = definition.config.get("structured_output_schema")
        return AgentDefinitionConfig(
            id=definition.id,
            name=definition.name,
            slug=definition.slug,
            description=definition.description,
            status=definition.status,
            execution_mode=definition.execution_mode,
            model_name=definition.model_name,
            config=definition.config,
            version=definition.version,
            system_prompt=prompt.content if prompt is not None else None,
            structured_output_schema=schema if isinstance(schema, dict) else None,
            tools=[ToolRead.model_validate(each) for each in tools],
        )

    @router.post(
        "/agent-definitions/{id}/tools",
        response_model=AgentDefinitionRead,
        responses=ALWAYS | NOT_THERE | IN_THE_WAY,
    )
    async def set_tools(request: Request, id: UUID, body: AgentDefinitionTools) -> Response:
        caller = await callers(request)

        async def work(changing: Changing) -> Answer:
            changed = await changing.set_tools(id, body.tool_ids)
            return Answer(200, encoded(DEFINITIONS.shown(changed)))

        return answered(await plane.change(caller.tenant, name_of(caller), request_key(request), work))


def _add_deployment_routes(router: APIRouter, plane: ControlPlane, callers: PlaneCallers) -> None:
    @router.post(
        "/deployments/{id}/rollback",
        summary="End it; the answer is the earlier one that serves in its place",
        response_model=DeploymentRead,
        responses=ALWAYS | NOT_THERE | IN_THE_WAY,
    )
    async def roll_back(request: Request, id: UUID) -> Response:
        caller = await callers(request)

        async def work(changing: Changing) -> Answer:
            return Answer(200, encoded(DEPLOYMENTS.shown(await changing.roll_back(id))))

        return answered(await plane.change(caller.tenant, name_of(caller), request_key(request), work))


def _add_audit(router: APIRouter, plane: ControlPlane, callers: PlaneCallers) -> None:
    @router.get("/audit", response_model=list[ChangeRead], responses=ALWAYS)
    async def audit(
        request: Request,
        kind: str | None = Query(None, max_length=64),
        resource_id: UUID | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[ChangeRead]:
        caller = await callers(request)
        found = await plane.changes(
            caller.tenant, kind=kind, resource_id=resource_id, limit=limit, offset=offset
        )
        return [ChangeRead.model_validate(each) for each in found]
