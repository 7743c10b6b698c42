"""
One call: tried again where that can help and cannot harm, within a time of its own.

| answer | tried again |
|---|---|
| 429 | after `Retry-After`, else with backoff |
| 502, 503, 504, a lost connection, no answer in time | with jittered exponential backoff, no sooner than `Retry-After` |
| any other 4xx, 500 | never |

A request that is not repeatable is tried again only where it was certainly not carried out: refused with 429, or never sent. One
`X-Request-ID` goes with all tries of a call; the control plane takes it for an idempotency key. A DELETE that is answered 404
after an attempt whose answer was lost has done what it was to do.
"""

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import httpx

from careline_client.errors import (
    APIError,
    CarelineError,
    ConnectionError,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimeoutError,
    error_of,
    failure_of,
)
from careline_client.hooks import Call, Hook, Watched
from careline_client.steps import Pause, Send, Steps

_WORTH_A_TRY = frozenset({502, 503, 504})


def _new_request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    At most `attempts` tries within `total_seconds`, where the last one is cut off. Before the nth repetition there is a pause of
    up to `first_pause_seconds` · 2ⁿ⁻¹, at most `longest_pause_seconds`, drawn evenly ("full jitter"). A `Retry-After` above
    `longest_wait_seconds` is not waited for: its error is raised.
    """

    attempts: int = 5
    total_seconds: float = 60.0
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 8.0
    longest_wait_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    new_request_id: Callable[[], str] = field(default=_new_request_id)

    def pause(self, failure: CarelineError, *, tries: int, is_repeatable: bool) -> float | None:
        """Seconds until the next try, after `tries` of them; None where there shall be none."""
        if tries >= self.attempts or not may_repeat(failure, is_repeatable=is_repeatable):
            return None
        told = failure.retry_after if isinstance(failure, APIError) else None
        if told is not None and told > self.longest_wait_seconds:
            return None
        if told is not None and isinstance(failure, RateLimitError):
            return told
        return max(self.backoff(tries), told or 0.0)

    def backoff(self, tries: int) -> float:
        longest = min(self.first_pause_seconds * 2.0 ** (tries - 1), self.longest_pause_seconds)
        return self.chance() * longest


NO_RETRIES = RetryPolicy(attempts=1)


def may_repeat(failure: CarelineError, *, is_repeatable: bool) -> bool:
    if isinstance(failure, RateLimitError):
        return True
    if isinstance(failure, APIError):
        return is_repeatable and failure.status in _WORTH_A_TRY
    if isinstance(failure, ConnectionError):
        return is_repeatable or not failure.was_sent
    return is_repeatable and isinstance(failure, TimeoutError)


def may_have_happened(failure: CarelineError) -> bool:
    """What was asked for, although no answer says so."""
    if isinstance(failure, ConnectionError):
        return failure.was_sent
    return isinstance(failure, TimeoutError | ServerError)


def called(
    request: Send, policy: RetryPolicy, hooks: Sequence[Hook] = (), timeout_seconds: float = 30.0
) -> Steps[httpx.Response]:
    """
    The answer, which is a success. `timeout_seconds` for each attempt of a request that names none.

    Raises:
        APIError, TimeoutError, ConnectionError: of the last try.
    """
    given = dict(request.headers)
    call = Call(request.method, request.path, given.get("X-Request-ID") or policy.new_request_id())
    with Watched(call, hooks) as watched:
        prepared = replace(
            request,
            headers=watched.headers | given,
            timeout_seconds=request.timeout_seconds or timeout_seconds,
        )
        response = yield from _tried(prepared, policy, watched)
        watched.status = response.status_code
        return response


def _tried(request: Send, policy: RetryPolicy, watched: Watched) -> Steps[httpx.Response]:
    ends_at = policy.clock() + policy.total_seconds
    tries = 0
    is_unsure = False
    while True:
        tries += 1
        try:
            response = yield _within(request, ends_at - policy.clock())
        except httpx.RequestError as error:
            failure: CarelineError = failure_of(error)
            failure.__cause__ = error
        else:
            if response.is_success:
                return response
            failure = error_of(response)
            if is_unsure and request.method == "DELETE" and isinstance(failure, NotFoundError):
                # An earlier try did it, and its answer was lost.
                return httpx.Response(204, request=response.request)
        if request.method != "GET":
            is_unsure = is_unsure or may_have_happened(failure)
            failure.outcome_unknown = is_unsure and _leaves_open(failure)
        pause = policy.pause(failure, tries=tries, is_repeatable=request.is_repeatable)
        if pause is None or policy.clock() + pause >= ends_at:
            raise failure
        watched.repeats(failure, pause)
        yield Pause(pause)


def _leaves_open(failure: CarelineError) -> bool:
    """Any other refusal of a repetition says that the earlier ones were not carried out: their key would have told."""
    return not isinstance(failure, APIError) or isinstance(failure, ServerError | RateLimitError)


def _within(request: Send, seconds: float) -> Send:
    """An attempt may not outlive the whole."""
    return replace(request, timeout_seconds=max(min(request.timeout_seconds or seconds, seconds), 0.001))


def key_headers(key: str | None) -> Mapping[str, str]:
    """A key of one's own, or a new one: with it, a POST that makes something makes it once."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}
