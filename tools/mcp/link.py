"""
One MCP server: the connection to it, opened again whenever it breaks, and what the server declares over it.

Which tools may be called is decided here, before every call: those that the settings list, in the form that was allowed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from core.clock import Clock
from core.errors import (
    CarelineError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyTimeout,
    DependencyUnavailable,
    ToolMisconfigured,
    ToolNotFound,
)
from core.http_mcp import answered_statuses
from core.mcp_settings import McpServerSettings
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard
from core.resilience.timelimit import TimeLimit
from core.telemetry.logging import get_logger
from tools.mcp.declared import DeclaredTool
from tools.mcp.failures import is_broken, translated
from tools.mcp.pins import Pins

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import TransportStreams
    from mcp_types import CallToolResult

_MOST_PAGES = 20
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0

Transport = Callable[[], "AbstractAsyncContextManager[TransportStreams]"]

_log = get_logger(__name__)


class McpLink:
    """
    `run` has to run: it opens the connection in a task of its own and keeps it. `transport` starts the program or names the URL,
    anew for each connection.
    """

    def __init__(
        self,
        name: str,
        settings: McpServerSettings,
        *,
        transport: Transport,
        guard: Guard,
        pins: Pins,
        clock: Clock,
    ) -> None:
        self.name = name
        self.dependency = guard.name
        self._settings = settings
        self._transport = transport
        self._guard = guard
        self._pins = pins
        self._clock = clock
        self._client: Client | None = None
        self._declared: Mapping[str, DeclaredTool] | None = None
        self._refused: frozenset[str] = frozenset()
        self.unlisted: tuple[str, ...] = ()
        """What the server declares beside."""
        self._ready = asyncio.Event()
        self._tried = asyncio.Event()
        self._woken = asyncio.Event()
        self._is_lost = False
        self._failures = 0
        self.failure = ""
        """The name of what stood in the way the last time that it could not be reached."""
        self._refusal: int | None = None
        """The status with which the server refused us when we connected."""

    # -- what may be called ---------------------------------------------------------------------------------------

    def allowed(self, tool: str) -> DeclaredTool:
        """
        Raises:
            DependencyUnavailable, DependencyRefusedUs: the server has not been reached since the start, or does not let us in.
            ToolNotFound: it does not declare this tool now.
            ToolMisconfigured: it declares another form of it than was allowed.
        """
        if self._declared is None:
            raise self._absent("not reached yet")
        declared = self._declared.get(tool)
        if declared is None:
            raise ToolNotFound(f"{self.name} does not declare {tool}")
        if tool in self._refused:
            raise ToolMisconfigured(f"{self.name} changed {tool} since it was allowed", reason="tool_changed")
        return declared

    @property
    def declared(self) -> Mapping[str, DeclaredTool] | None:
        """Of the tools that the settings list, those that the server declares; None while it was never reached."""
        return self._declared

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        meta: Mapping[str, Any],
        seconds: float,
        deadline: Deadline,
        may_repeat: bool,
    ) -> "CallToolResult":
        """
        What the server answered, an error of the tool included.

        Raises:
            DependencyError, RateLimited, ToolMisconfigured: there is no answer, or it cannot be read.
        """
        return await self._guard.run(
            lambda: self._call(tool, arguments, meta, seconds), deadline=deadline, may_repeat=may_repeat
        )

    async def _call(
        self, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any], seconds: float
    ) -> "CallToolResult":
        statuses: list[int] = []
        client = await self._connected(seconds)
        noted = answered_statuses.set(statuses)
        limit = TimeLimit(seconds)
        try:
            with limit:
                return await client.call_tool(tool, dict(arguments), meta=_meta(meta))
        except Exception as exc:
            if isinstance(exc, TimeoutError) and limit.has_passed:
                raise DependencyTimeout(
                    self.dependency,
                    f"{self.dependency}: no answer within {seconds:.3g} s",
                    may_have_happened=True,
                ) from exc
            if is_broken(exc):
                self._lose()
            raise translated(self.dependency, exc, statuses) from exc
        finally:
            answered_statuses.reset(noted)

    async def _connected(self, seconds: float) -> "Client":
        """The connection; one that broke a moment ago is waited for, one that could not be opened is not."""
        if not self._ready.is_set() and self._failures == 0:
            with contextlib.suppress(TimeoutError), TimeLimit(seconds):
                await self._ready.wait()
        if self._client is None or self._is_lost:
            raise self._absent("not connected")
        return self._client

    def _absent(self, said: str) -> CarelineError:
        match self._refusal:
            case 401:
                return DependencyRefusedUs(self.dependency, f"{self.dependency}: answered 401")
            case 403:
                return DependencyForbidsUs(self.dependency, f"{self.dependency}: answered 403")
        return DependencyUnavailable(self.dependency, f"{self.dependency}: {said}", reason="not_connected")

    # -- the connection -------------------------------------------------------------------------------------------

    @property
    def is_refused(self) -> bool:
        """Whether the server is there and does not let us in."""
        return self._refusal is not None

    @property
    def is_connected(self) -> bool:
        return self._ready.is_set()

    async def first_try(self) -> None:
        """Returns once the server was reached, or could not be."""
        await self._tried.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            # The last ones only: they go on being noted for as long as the connection lives.
            statuses: deque[int] = deque(maxlen=1)
            noted = answered_statuses.set(statuses)
            try:
                await self._serve()
            except Exception as exc:  # the loop must outlive every way in which a server can fail
                self._failures += 1
                self.failure = _named(exc)
                self._refusal = statuses[-1] if statuses and statuses[-1] in (401, 403) else None
                _log.warning(
                    "mcp.not_connected",
                    server=self.name,
                    error=self.failure,
                    failures=self._failures,
                    answered=self._refusal,
                )
            finally:
                answered_statuses.reset(noted)
            self._tried.set()
            pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10)
            await self._clock.sleep(min(_LONGEST_PAUSE_SECONDS, pause) if self._failures else 0.0)

    async def probe(self) -> None:
        """
        Ask for the list of tools: the server answers, and what it changed without telling shows.

        Raises:
            Exception: it does not answer. A connection that is silent is given up, and its program ended.
        """
        client = self._client
        if client is None or self._is_lost:
            raise self._absent("not connected")
        try:
            with TimeLimit(self._settings.start_seconds):
                await self._refresh(client)
        except (Exception, asyncio.CancelledError):  # a probe has a second, then it is cancelled
            self._lose()
            raise

    def _lose(self) -> None:
        self._is_lost = True
        self._ready.clear()
        self._woken.set()

    async def _serve(self) -> None:
        """One connection, to its end."""
        self._is_lost = False
        self._woken.clear()
        try:
            async with contextlib.AsyncExitStack() as stack:
                with TimeLimit(self._settings.start_seconds):
                    client = await stack.enter_async_context(self._open())
                    await self._refresh(client)
                self._client = client
                self._failures = 0
                self._refusal = None
                self._ready.set()
                self._tried.set()
                _log.info("mcp.connected", server=self.name, protocol=client.protocol_version)
                await stack.enter_async_context(self._following(client))
                while not self._is_lost:
                    await self._woken.wait()
                    self._woken.clear()
                    if not self._is_lost:
                        with TimeLimit(self._settings.start_seconds):
                            await self._refresh(client)
        finally:
            self._client = None
            self._ready.clear()

    def _open(self) -> "Client":
        from mcp import Client
        from mcp_types import Implementation, ToolListChangedNotification

        async def heard(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                self._woken.set()
            elif isinstance(message, Exception):
                _log.warning("mcp.unreadable_line", server=self.name, error=type(message).__name__)

        return Client(
            self._transport(),
            message_handler=heard,
            client_info=Implementation(name="careline", version="1"),
            cache=None,
        )

    @contextlib.asynccontextmanager
    async def _following(self, client: "Client") -> AsyncIterator[None]:
        """Servers of 2026-07-28 tell of changes only on a stream that is asked for."""
        from mcp.client.subscriptions import ListenNotSupportedError

        async def follow() -> None:
            with contextlib.suppress(ListenNotSupportedError):
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._woken.set()

        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            yield
            return
        following = asyncio.create_task(follow(), name=f"mcp-{self.name}-changes")
        try:
            yield
        finally:
            following.cancel()
            # What ended it early shows at the next probe, which lists the tools anyway.
            await asyncio.gather(following, return_exceptions=True)

    async def _refresh(self, client: "Client") -> None:
        declared: dict[str, DeclaredTool] = {}
        unlisted: list[str] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                if tool.name not in self._settings.tools:
                    unlisted.append(tool.name)
                else:
                    told = tool.model_dump(by_alias=True, mode="json", exclude_none=True)
                    with contextlib.suppress(ValueError):  # too large to be told to a model
                        declared[tool.name] = DeclaredTool.of(told)
            cursor = page.next_cursor
            if cursor is None:
                break
        refused = await asyncio.to_thread(self._not_as_allowed, declared)
        for name in sorted(refused - self._refused):
            _log.error("mcp.tool_changed", server=self.name, tool=name, digest=declared[name].digest)
        self._refused = refused
        self._declared = declared
        self.unlisted = tuple(unlisted)

    def _not_as_allowed(self, declared: Mapping[str, DeclaredTool]) -> frozenset[str]:
        try:
            return frozenset(
                name
                for name, tool in declared.items()
                if not self._pins.is_allowed(
                    self.name, name, tool.digest, pinned=self._settings.tools[name].digest
                )
            )
        except (OSError, ValueError) as exc:
            _log.error("mcp.pins_unreadable", server=self.name, error=type(exc).__name__)
            return frozenset(name for name in declared if self._settings.tools[name].digest is None)


def _meta(meta: Mapping[str, Any]) -> Any:
    return dict(meta) or None


def _named(exc: BaseException) -> str:
    """The innermost name: task groups wrap what happened."""
    while isinstance(exc, BaseExceptionGroup) and exc.exceptions:
        exc = exc.exceptions[0]
    return type(exc).__name__
