"""
One tool of an MCP server as `tools.handler` runs it: one that reads, or one that changes something.

Which it is, the operator says; what the server says of itself (annotations) is believed in nothing.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from core.errors import CarelineError, PermissionDenied, ToolExecutionFailed, ToolMisconfigured
from core.ids import receipt_for
from core.mcp_settings import Filled, McpToolSettings
from core.messages import ActionStatus
from core.resilience.deadline import Deadline
from tools.mcp.arguments import JsonArguments, SchemaReader
from tools.mcp.cleaning import as_data
from tools.mcp.declared import DeclaredTool, name_for_models
from tools.mcp.sentences import outside_sentence, question
from tools.protocol import ToolCall, ToolResult

if TYPE_CHECKING:
    from mcp_types import CallToolResult

FEATURE = "outside_tools"


class Link(Protocol):
    """The connection to the server. `tools.mcp.link` implements it."""

    name: str
    dependency: str

    def allowed(self, tool: str) -> DeclaredTool: ...

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        meta: Mapping[str, Any],
        seconds: float,
        deadline: Deadline,
        may_repeat: bool,
    ) -> "CallToolResult": ...


class OutsideCall(msgspec.Struct, frozen=True):
    """A call as it is stored before it is made: everything that will be sent, and the form of the tool that it was meant for."""

    arguments: dict[str, Any]
    meta: dict[str, Any]
    digest: str


class _McpTool:
    arguments = JsonArguments
    feature = FEATURE
    dependency: str | None = None
    """Guarded by its link: an error that the tool itself answers with says nothing against the server."""

    def __init__(self, link: Link, tool: str, settings: McpToolSettings) -> None:
        self.name = name_for_models(link.name, tool)
        self.needs_account = settings.needs_account or settings.knows_the_customer
        self._link = link
        self._tool = tool
        self._settings = settings
        self._filled = frozenset(settings.fill)
        self._reader: tuple[str, SchemaReader] | None = None

    @property
    def is_offered(self) -> bool:
        """Also while the server is down: a call then says so. Not before it was reached, nor in a form that is not allowed."""
        try:
            self._link.allowed(self._tool)
        except CarelineError:
            return False
        return True

    @property
    def description(self) -> str:
        return self._link.allowed(self._tool).description if self.is_offered else ""

    def parameters(self) -> Mapping[str, Any]:
        return self._link.allowed(self._tool).parameters(without=self._filled)

    def read(self, given: Mapping[str, Any]) -> JsonArguments:
        declared = self._link.allowed(self._tool)
        if self._reader is None or self._reader[0] != declared.digest:
            schema = declared.parameters(without=self._filled)
            self._reader = (declared.digest, SchemaReader(schema, filled=self._filled))
        return self._reader[1].read(given)

    def _sent(self, arguments: JsonArguments, call: ToolCall) -> OutsideCall:
        return OutsideCall(
            arguments={**arguments.values, **_filled(self._settings.fill, call)},
            meta=_filled(self._settings.meta, call),
            digest=self._link.allowed(self._tool).digest,
        )

    async def _call(self, sent: OutsideCall, call: ToolCall, *, may_repeat: bool) -> Mapping[str, Any]:
        """Raises ToolExecutionFailed where the tool says that it failed, with its words for the brain."""
        if self._link.allowed(self._tool).digest != sent.digest:
            raise ToolMisconfigured("the tool changed since the call was planned", reason="tool_changed")
        result = await self._link.call(
            self._tool,
            sent.arguments,
            meta=sent.meta,
            seconds=self._settings.seconds,
            deadline=call.deadline,
            may_repeat=may_repeat,
        )
        content = [block.model_dump(mode="json", by_alias=True) for block in result.content]
        data = as_data(self._link.name, content, result.structured_content)
        if result.is_error:
            raise ToolExecutionFailed(f"{self.name}: says that it failed", reason="tool_error", told=data)
        return data


class McpReadTool(_McpTool):
    has_effect = False

    async def run(self, arguments: JsonArguments, call: ToolCall) -> ToolResult:
        data = await self._call(self._sent(arguments, call), call, may_repeat=True)
        return ToolResult(value=data, summary=outside_sentence("read", call.locale))


class McpWriteTool(_McpTool):
    """Never repeated once it may have happened: whether a server recognises a repeat is nothing that the protocol promises."""

    has_effect = True
    intent = OutsideCall
    is_repeatable = False

    @property
    def asks_first(self) -> bool:
        return self._settings.asks_first

    def question(self, arguments: msgspec.Struct, locale: str) -> str:
        values = arguments.values if isinstance(arguments, JsonArguments) else {}
        return question(self._link.allowed(self._tool).title, values, locale)

    async def plan(self, arguments: JsonArguments, call: ToolCall) -> OutsideCall:
        return self._sent(arguments, call)

    async def carry_out(self, intent: OutsideCall, call: ToolCall) -> ToolResult:
        data = await self._call(intent, call, may_repeat=False)
        receipt = receipt_for(call.key)
        return ToolResult(
            value={**data, "receipt": receipt},
            summary=outside_sentence("done", call.locale, title=self._title, receipt=receipt),
            receipt=receipt,
        )

    def put_off(self, intent: OutsideCall, call: ToolCall) -> ToolResult | None:
        """No promise: what a customer agreed to now may not be wanted in an hour."""
        return None

    def unsure(self, intent: OutsideCall, call: ToolCall) -> ToolResult:
        receipt = receipt_for(call.key)
        return ToolResult(
            value={"receipt": receipt, "status": "unknown"},
            summary=outside_sentence("unknown", call.locale, title=self._title, receipt=receipt),
            status=ActionStatus.UNKNOWN,
            receipt=receipt,
            reason="fate_unknown",
            degraded=((FEATURE, self._link.dependency),),
        )

    @property
    def _title(self) -> str:
        try:
            return self._link.allowed(self._tool).title
        except CarelineError:  # it may have gone since
            return self._tool


def mcp_tool(link: Link, tool: str, settings: McpToolSettings) -> McpReadTool | McpWriteTool:
    return (
        McpReadTool(link, tool, settings) if settings.risk == "read" else McpWriteTool(link, tool, settings)
    )


def _filled(places: Mapping[str, Filled], call: ToolCall) -> dict[str, Any]:
    if "customer_id" in places.values() and call.caller.customer_id is None:
        raise PermissionDenied("the caller acts for no customer", reason="permission")
    known: Mapping[Filled, str | None] = {
        "customer_id": call.caller.customer_id,
        "key": call.key or call.call_id,
        "conversation_id": call.conversation_id,
        "locale": call.locale,
        "tenant": call.tenant,
    }
    return {name: known[what] for name, what in places.items()}
