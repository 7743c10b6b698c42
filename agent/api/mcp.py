"""
Careline's own tools for MCP clients at `/mcp`: the same handler, the same rights as in chat, and effects by the client's key.

Stateless, so that any replica answers any request. No conversation is begun here, so `handoff` is not served.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from agent.api.parts import ServedTools, ServiceParts
from agent.api.security import Callers, acting_for
from agent.api.wire import could_be_ours
from core.errors import (
    CarelineError,
    DependencyError,
    FieldError,
    RateLimited,
    ToolMisconfigured,
    ValidationFailed,
)
from core.identity import VISITOR_CUSTOMER_PREFIX, Caller, CallerKind
from core.ids import derived_id, new_id
from core.resilience.deadline import Deadline
from tools.protocol import KEY_CONFLICT, ToolCall, ToolOutcome

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

PATH = "/mcp"
SERVED = frozenset({"search_knowledge", "customer_info", "find_tickets", "open_ticket", "notify"})
CUSTOMER = ("careline/customer-id", "x-customer-id")
KEY = ("careline/idempotency-key", "idempotency-key")
LOCALE = ("careline/locale", "accept-language")
"""Where a client says it: the entry of `_meta`, else the header."""
_LONGEST_BODY = 1024 * 1024
_ANOTHERS_KEY = (
    "This key was used before with other arguments, and nothing was done now: send those again to hear what came of them, or "
    "take a new key."
)


class McpEndpoint:
    """An ASGI application. Who calls is proven before anything of the request is read."""

    def __init__(self, callers: Callers, manager: "StreamableHTTPSessionManager") -> None:
        self._callers = callers
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Raises:
            AuthenticationFailed: no credentials, or not valid ones.
        """
        request = Request(scope, receive)
        request.state.mcp_caller = await self._callers.caller(request)
        await self._manager.handle_request(scope, receive, send)


@contextlib.asynccontextmanager
async def open_mcp_endpoint(parts: ServiceParts) -> AsyncIterator[McpEndpoint | None]:
    """
    None where it is not wanted.

    Raises:
        ToolMisconfigured: it is wanted, and the extra `mcp` is not installed.
    """
    if not parts.settings.mcp_serve or parts.tools is None:
        yield None
        return
    try:
        from mcp.server import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    except ImportError as exc:
        raise ToolMisconfigured(
            "CARELINE_MCP_SERVE is set, and the extra is not installed: pip install 'careline[mcp]'"
        ) from exc
    calls = _Calls(parts, parts.tools)
    server: Server[Any] = Server(
        "careline",
        version=version("careline"),
        instructions="Support tools of one company. Name the customer in `_meta` or a header; docs/mcp.md says how.",
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
    )
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=_LONGEST_BODY
    )
    async with manager.run():
        yield McpEndpoint(Callers(parts), manager)


class _Calls:
    def __init__(self, parts: ServiceParts, tools: ServedTools) -> None:
        self._parts = parts
        self._tools = tools

    async def list_tools(
        self, _: "ServerRequestContext", params: "PaginatedRequestParams | None"
    ) -> "ListToolsResult":
        from mcp_types import ListToolsResult, Tool, ToolAnnotations

        return ListToolsResult(
            tools=[
                Tool(
                    name=each.name,
                    description=each.description,
                    input_schema=dict(each.parameters),
                    annotations=ToolAnnotations(
                        read_only_hint=not self._tools.runner.has_effect(each.name),
                        idempotent_hint=True,
                    ),
                )
                for each in self._tools.schemas()
                if each.name in SERVED
            ]
        )

    async def call_tool(
        self, context: "ServerRequestContext", params: "CallToolRequestParams"
    ) -> "CallToolResult":
        """
        An error of the tool is a result, as the protocol wants it; one of the request is the protocol's error.
        """
        from mcp.shared.exceptions import MCPError
        from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

        request = context.request
        if params.name not in SERVED:
            raise MCPError(INVALID_PARAMS, "There is no such tool.")
        if not isinstance(request, Request):
            raise MCPError(INTERNAL_ERROR, "The request came without its HTTP request.")
        said = _Said(context.meta or {}, request)
        try:
            caller = _in_whose_name(acting_for(request.state.mcp_caller, said.one(CUSTOMER)))
            call = self._call(params.name, caller, said)
            await self._parts.limits.check_message(caller, None)
        except ValidationFailed as exc:
            why = "; ".join(f"{field.loc[-1]}: {field.msg}" for field in exc.fields)
            raise MCPError(INVALID_PARAMS, why or str(exc)) from exc
        except RateLimited as exc:
            return _refused(exc, "Too many calls for this customer: wait, then call again with the same key.")
        outcome = await self._tools.runner.call(params.name, params.arguments or {}, call)
        try:
            for item in outcome.outbox:
                await self._tools.keep(item)
        except DependencyError as exc:
            # It stands in the ledger: the same key finds it, and the promise is then written down.
            return _refused(exc, "The promise could not be kept just now: call again with the same key.")
        return _result(outcome)

    def _call(self, tool: str, caller: Caller, said: "_Said") -> ToolCall:
        """
        The same key from the same credentials, for the same customer and tool, is the same effect, and stands for its arguments;
        without one each call is its own.
        """
        has_effect = self._tools.runner.has_effect(tool)
        given = said.one(KEY) or new_id("call")
        whose = (caller.tenant, "mcp", said.principal, caller.customer_id or "")
        return ToolCall(
            call_id=derived_id("call", *whose, tool, given),
            key=derived_id("effect", *whose, tool, given) if has_effect else "",
            key_is_given=has_effect,
            step=1,
            caller=caller,
            conversation_id=derived_id("conv", *whose),
            turn_id=derived_id("turn", *whose, given),
            locale=said.locale() or caller.locale or "en",
            deadline=Deadline(self._parts.clock, self._parts.settings.turn_deadline_seconds),
        )


class _Said:
    """What the client says beside the arguments, which a model writes."""

    def __init__(self, meta: Mapping[str, Any], request: Request) -> None:
        self._meta = meta
        self._headers = request.headers
        self.principal: str = request.state.mcp_caller.principal

    def one(self, names: tuple[str, str]) -> str | None:
        """
        Raises:
            ValidationFailed: it is no id, or `_meta` and the header disagree.
        """
        entry, header = names
        found = {value for value in (self._meta.get(entry), self._headers.get(header)) if value is not None}
        if not found:
            return None
        value = found.pop()
        if found or not isinstance(value, str) or not could_be_ours(value):
            problem = "1 to 128 printable ASCII characters, the same in `_meta` and in the header"
            raise ValidationFailed(
                "not usable", fields=(FieldError(("meta", entry), problem, "value_error"),)
            )
        return value

    def locale(self) -> str | None:
        entry, header = LOCALE
        value = self._meta.get(entry) or self._headers.get(header, "").partition(",")[0].partition(";")[0]
        return value if isinstance(value, str) and 2 <= len(value) <= 35 and value.isascii() else None


def _in_whose_name(caller: Caller) -> Caller:
    """As in chat: what is done for a customer is done with the customer's rights, not with the server's."""
    if caller.customer_id is None or not caller.may_act_for_any_customer:
        return caller
    is_visitor = caller.customer_id.startswith(VISITOR_CUSTOMER_PREFIX)
    return Caller(
        kind=CallerKind.VISITOR if is_visitor else CallerKind.CUSTOMER,
        tenant=caller.tenant,
        customer_id=caller.customer_id,
        locale=caller.locale,
    )


def _result(outcome: ToolOutcome) -> "CallToolResult":
    action = outcome.action
    facts = {
        "status": action.status.value,
        "receipt": action.receipt,
        "reference": action.reference,
        "error_type": action.error_type,
        "reason": action.reason,
    }
    told: dict[str, Any] = {name: fact for name, fact in facts.items() if fact is not None}
    told["summary"] = _ANOTHERS_KEY if action.reason == KEY_CONFLICT else action.summary
    told["value"] = dict(outcome.value)
    if outcome.passages:
        told["passages"] = outcome.passages
    return _told(told, is_error=not outcome.is_ok)


def _refused(exc: CarelineError, why: str) -> "CallToolResult":
    told: dict[str, Any] = {"status": "failed", "error_type": exc.error_type.value, "summary": why}
    if exc.retry_after is not None:
        told["retry_after"] = exc.retry_after
    return _told(told, is_error=True)


def _told(told: Mapping[str, Any], *, is_error: bool) -> "CallToolResult":
    """Twice, as the protocol advises: for clients that read structured content, and for those that read text."""
    from mcp_types import CallToolResult, TextContent

    plain = msgspec.to_builtins(told)
    text = TextContent(text=msgspec.json.encode(plain).decode())
    return CallToolResult(content=[text], structured_content=plain, is_error=is_error)
