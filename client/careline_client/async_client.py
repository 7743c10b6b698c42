"""
`AsyncCareline`: the library for asyncio, the twin of `client`; what both do is in the modules that they call.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from careline_client.async_control import (
    AsyncAgentDefinitions,
    AsyncDeployments,
    AsyncModelProviders,
    AsyncResources,
    AsyncTools,
)
from careline_client.async_conversing import AsyncChat, AsyncConversations
from careline_client.chatting import ChatCalls
from careline_client.events import Event, Resumed
from careline_client.hooks import Hook
from careline_client.opening import DEFAULT_URL, Ran, http_settings, requested, timeouts
from careline_client.plane import PREFIX, Creation, Kind, created_together, decoded
from careline_client.resources import (
    AgentClass,
    AgentClassCreate,
    AgentClassUpdate,
    Change,
    SystemPrompt,
    SystemPromptCreate,
    SystemPromptUpdate,
)
from careline_client.retries import RetryPolicy, called
from careline_client.steps import Pause, Send, Steps, without_none

T = TypeVar("T")


class AsyncCareline:
    """
    A Careline service. `key` is one of its API keys (or a customer's or visitor's token); none where it runs in local mode.

    `retries` and `hooks` hold for every call. `transport` and `sleep` are for tests (`careline_client.fake`). Used as a context
    manager, or closed with `close`. Every call may raise what `careline_client.errors` names.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout_seconds: float = 30.0,
        retries: RetryPolicy | None = None,
        hooks: Sequence[Hook] = (),
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._policy = retries or RetryPolicy()
        self._hooks = tuple(hooks)
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            **http_settings(base_url, key=key, headers=headers, timeout_seconds=timeout_seconds),
            transport=transport,
        )
        ask = partial(called, policy=self._policy, hooks=self._hooks, timeout_seconds=timeout_seconds)
        self._ask = ask
        self.chat = AsyncChat(self, ChatCalls(ask))
        self.conversations = AsyncConversations(self, ChatCalls(ask))
        self.agent_classes = AsyncResources[AgentClass, AgentClassCreate, AgentClassUpdate](
            self, Kind("agent-classes", ask)
        )
        self.model_providers = AsyncModelProviders(self, Kind("model-providers", ask))
        self.system_prompts = AsyncResources[SystemPrompt, SystemPromptCreate, SystemPromptUpdate](
            self, Kind("system-prompts", ask)
        )
        self.tools = AsyncTools(self, Kind("tools", ask))
        self.agent_definitions = AsyncAgentDefinitions(self, Kind("agent-definitions", ask))
        self.deployments = AsyncDeployments(self, Kind("deployments", ask))

    async def create_with_rollback(self, creations: Sequence[Creation]) -> list[dict[str, Any]]:
        """
        All of these resources, in order, or none of them.

        Raises:
            RolledBackError: one could not be made; it says what was taken back and what could not be.
        """
        return await self.run(created_together(self._ask, creations))

    async def audit(
        self,
        *,
        kind: str | None = None,
        resource_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Change]:
        """Who changed what, newest first."""
        query = without_none({"kind": kind, "resource_id": resource_id, "limit": limit, "offset": offset})
        answer: list[Change] = await self.request("GET", f"{PREFIX}/audit", query=query)
        return answer

    async def health(self) -> dict[str, Any]:
        """`status` is `healthy` or `degraded`, `dependencies` says what is down."""
        answer: dict[str, Any] = await self.request("GET", f"{PREFIX}/health")
        return answer

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool | None = None,
    ) -> Any:
        """
        Any other route, with the same retries and errors: the answer's JSON, None where it is empty. A POST is taken for not
        repeatable, unless it has an `Idempotency-Key` or `is_repeatable` says so.
        """
        request = requested(
            method, path, query=query, body=body, headers=headers, is_repeatable=is_repeatable
        )
        return decoded(await self.run(self._ask(request)))

    async def run(self, steps: Steps[T]) -> T:
        """Carry the steps out."""
        ran = Ran(steps)
        while (step := ran.next_step()) is not None:
            try:
                if isinstance(step, Pause):
                    await self._sleep(step.seconds)
                else:
                    ran.answered(await self._sent(step))
            except BaseException as error:
                ran.failed(error)
        return ran.result()

    async def _sent(self, step: Send) -> httpx.Response:
        """httpx limits each read, not their sum."""
        try:
            async with asyncio.timeout(step.timeout_seconds):
                return await self._http.send(self._built(step))
        except TimeoutError as error:
            raise httpx.ReadTimeout("the answer was not whole in time") from error

    async def events(self, stream: Resumed) -> AsyncIterator[Event]:
        """The events of a stream over as many connections as it takes."""
        with stream.watched():
            while not stream.is_over:
                try:
                    response = await self._http.send(self._built(stream.request()), stream=True)
                    try:
                        if stream.opened(response):
                            async for piece in response.aiter_bytes():
                                for event in stream.feed(piece):
                                    yield event
                            pause = stream.cut()
                        else:
                            await response.aread()
                            pause = stream.refused(response)
                    finally:
                        await response.aclose()
                except httpx.RequestError as error:
                    pause = stream.cut(error)
                if not stream.is_over:
                    await self._sleep(pause)

    def _built(self, step: Send) -> httpx.Request:
        timeout = self._http.timeout if step.timeout_seconds is None else timeouts(step.timeout_seconds)
        return self._http.build_request(
            step.method,
            step.path,
            params=step.query,
            json=step.body,
            headers=dict(step.headers),
            timeout=timeout,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
