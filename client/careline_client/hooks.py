"""
What happens to a call, for whoever watches: logs, metrics, traces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from careline_client.errors import APIError, CarelineError


@dataclass(frozen=True, slots=True)
class Call:
    """All tries of one call have the same `request_id`."""

    method: str
    path: str
    request_id: str


class Hook(Protocol):
    """Called in the thread or task of the call. What it raises reaches the caller."""

    def began(self, call: Call) -> Mapping[str, str]:
        """Headers that the request shall have, such as a trace's."""
        ...

    def repeats(self, call: Call, failure: CarelineError, seconds: float) -> None:
        """A try failed, and the next follows in `seconds`."""
        ...

    def ended(self, call: Call, status: int | None, failure: BaseException | None) -> None:
        """`status` is None where there was no answer, `failure` where the call succeeded; it may be an interrupt."""
        ...


class Watched:
    """A call from its beginning to its end, told to all hooks; `headers` are what they and the call itself want sent."""

    def __init__(self, call: Call, hooks: Sequence[Hook]) -> None:
        self._call = call
        self._hooks = hooks
        self.status: int | None = None
        self.headers: dict[str, str] = {}

    def repeats(self, failure: CarelineError, seconds: float) -> None:
        for hook in self._hooks:
            hook.repeats(self._call, failure, seconds)

    def __enter__(self) -> Self:
        for hook in self._hooks:
            self.headers |= hook.began(self._call)
        self.headers["X-Request-ID"] = self._call.request_id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, CarelineError):
            error.request_id = error.request_id or self._call.request_id
        # Whoever stops reading a stream has not failed.
        failure = None if isinstance(error, GeneratorExit) else error
        status = failure.status if isinstance(failure, APIError) else self.status
        for hook in self._hooks:
            hook.ended(self._call, status, failure)


class OpenTelemetryHook:
    """
    A client span for each call, an event for each repetition, and W3C trace headers: the service's spans are its children. Needs
    the package `opentelemetry-api` (extra `opentelemetry`). `tracer`: left out, the global one.
    """

    def __init__(self, tracer: Any = None) -> None:
        from opentelemetry import propagate, trace

        self._trace = trace
        self._inject = propagate.inject
        self._tracer = tracer or trace.get_tracer("careline_client")
        self._spans: dict[str, Any] = {}

    def began(self, call: Call) -> Mapping[str, str]:
        span = self._tracer.start_span(
            call.method,
            kind=self._trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": call.method,
                "url.path": call.path,
                "careline.request_id": call.request_id,
            },
        )
        self._spans[call.request_id] = span
        headers: dict[str, str] = {}
        self._inject(headers, context=self._trace.set_span_in_context(span))
        return headers

    def repeats(self, call: Call, failure: CarelineError, seconds: float) -> None:
        self._spans[call.request_id].add_event("retry", {"error": str(failure), "wait_seconds": seconds})

    def ended(self, call: Call, status: int | None, failure: BaseException | None) -> None:
        span = self._spans.pop(call.request_id)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if failure is not None:
            span.record_exception(failure)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, str(failure)))
        span.end()
