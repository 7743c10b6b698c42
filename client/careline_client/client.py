"""
`Careline`: the library without asyncio. `async_client` is its twin; what both do is in the modules that they call.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from careline_client.chatting import ChatCalls
from careline_client.control import AgentDefinitions, Deployments, ModelProviders, Resources, Tools
from careline_client.conversing import Chat, Conversations
from careline_client.events import Event, Resumed
from careline_client.hooks import Hook
from careline_client.opening import DEFAULT_URL, Limited, Ran, http_settings, requested, timeouts
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


class Careline:
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
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._policy = retries or RetryPolicy()
        self._hooks = tuple(hooks)
        self._sleep = sleep
        self._http = httpx.Client(
            **http_settings(base_url, key=key, headers=headers, timeout_seconds=timeout_seconds),
            transport=transport,
        )
        ask = partial(called, policy=self._policy, hooks=self._hooks, timeout_seconds=timeout_seconds)
        self._ask = ask
        self.chat = Chat(self, ChatCalls(ask))
        self.conversations = Conversations(self, ChatCalls(ask))
        self.agent_classes = Resources[AgentClass, AgentClassCreate, AgentClassUpdate](
            self, Kind("agent-classes", ask)
        )
        self.model_providers = ModelProviders(self, Kind("model-providers", ask))
        self.system_prompts = Resources[SystemPrompt, SystemPromptCreate, SystemPromptUpdate](
            self, Kind("system-prompts", ask)
        )
        self.tools = Tools(self, Kind("tools", ask))
        self.agent_definitions = AgentDefinitions(self, Kind("agent-definitions", ask))
        self.deployments = Deployments(self, Kind("deployments", ask))

    def create_with_rollback(self, creations: Sequence[Creation]) -> list[dict[str, Any]]:
        """
        All of these resources, in order, or none of them.

        Raises:
            RolledBackError: one could not be made; it says what was taken back and what could not be.
        """
        return self.run(created_together(self._ask, creations))

    def audit(
        self,
        *,
        kind: str | None = None,
        resource_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Change]:
        """Who changed what, newest first."""
        query = without_none({"kind": kind, "resource_id": resource_id, "limit": limit, "offset": offset})
        answer: list[Change] = self.request("GET", f"{PREFIX}/audit", query=query)
        return answer

    def health(self) -> dict[str, Any]:
        """`status` is `healthy` or `degraded`, `dependencies` says what is down."""
        answer: dict[str, Any] = self.request("GET", f"{PREFIX}/health")
        return answer

    def request(
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
        return decoded(self.run(self._ask(request)))

    def run(self, steps: Steps[T]) -> T:
        """Carry the steps out."""
        ran = Ran(steps)
        while (step := ran.next_step()) is not None:
            try:
                if isinstance(step, Pause):
                    self._sleep(step.seconds)
                else:
                    ran.answered(self._sent(step))
            except BaseException as error:
                ran.failed(error)
        return ran.result()

    def _sent(self, step: Send) -> httpx.Response:
        response = self._http.send(self._built(step), stream=True)
        try:
            if step.timeout_seconds is not None and isinstance(response.stream, httpx.SyncByteStream):
                response.stream = Limited(response.stream, step.timeout_seconds)
            response.read()
        finally:
            response.close()
        return response

    def events(self, stream: Resumed) -> Iterator[Event]:
        """The events of a stream over as many connections as it takes."""
        with stream.watched():
            while not stream.is_over:
                try:
                    response = self._http.send(self._built(stream.request()), stream=True)
                    try:
                        if stream.opened(response):
                            for piece in response.iter_bytes():
                                yield from stream.feed(piece)
                            pause = stream.cut()
                        else:
                            response.read()
                            pause = stream.refused(response)
                    finally:
                        response.close()
                except httpx.RequestError as error:
                    pause = stream.cut(error)
                if not stream.is_over:
                    self._sleep(pause)

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

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
