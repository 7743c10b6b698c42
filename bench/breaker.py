"""
What a closed circuit breaker costs a call, beside what an empty coroutine costs on the same machine.

    python -m bench.breaker [--calls 200000]

Goal: at most 5 µs for `acquire` and `succeeded` together. A shared machine's speed varies two- to threefold, so the best of
several rounds is told, and the ratio to a coroutine that does nothing, which varies along with it.
"""

import argparse
import asyncio
import random
import time

from core.clock import SystemClock
from core.resilience.breaker import BreakerPolicy, CircuitBreaker
from core.resilience.guard import Guard, GuardPolicy

_ROUNDS = 7


def breaker_microseconds(calls: int, policy: BreakerPolicy) -> float:
    breaker = CircuitBreaker("bench", policy, clock=SystemClock(), rng=random.Random(1))
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            breaker.acquire().succeeded()
        best = min(best, time.perf_counter() - started)
    assert breaker.state.value == "closed"
    return best / calls * 1e6


async def empty_microseconds(calls: int) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            await _nothing()
        best = min(best, time.perf_counter() - started)
    return best / calls * 1e6


async def guarded_microseconds(calls: int) -> float:
    guard = Guard("bench", GuardPolicy(), clock=SystemClock(), rng=random.Random(1))
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            await guard.run(_nothing)
        best = min(best, time.perf_counter() - started)
    return best / calls * 1e6


async def _nothing() -> None:
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    calls: int = parser.parse_args().calls
    empty = asyncio.run(empty_microseconds(calls))
    rows = {
        "an empty async call": empty,
        "breaker, time window": breaker_microseconds(calls, BreakerPolicy()),
        "breaker, count window": breaker_microseconds(calls, BreakerPolicy(window_calls=100)),
        "whole guard": asyncio.run(guarded_microseconds(max(1, calls // 10))),
    }
    for name, microseconds in rows.items():
        print(f"{name:<24} {microseconds:6.2f} µs  {microseconds / empty:6.1f} × empty")


if __name__ == "__main__":
    main()
