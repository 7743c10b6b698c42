"""The simulated record runs the contract suite of the real ones, wherever a test asks for nothing but the ports."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from core.clock import SystemClock
from tests.contracts import test_conversation_store as contract
from tests.simulation.record import SimulatedRecord, SqlTables, microseconds

T = TypeVar("T")

_PORTS = {"store", "impatient"}


class NoDistance:
    """A link that is never in the way."""

    async def call(self, name: str, work: Callable[[], T], *, is_read: bool = False) -> T:
        return work()


@pytest.fixture
def tables() -> SqlTables:
    return SqlTables(now=lambda: microseconds(SystemClock().now()))


@pytest.fixture
def store(tables: SqlTables) -> SimulatedRecord:
    return SimulatedRecord(tables, NoDistance(), owner="replica-a", lease_seconds=30)


@pytest.fixture
def impatient(tables: SqlTables) -> SimulatedRecord:
    return SimulatedRecord(tables, NoDistance(), owner="replica-b", lease_seconds=-1)


def _claims() -> dict[str, Any]:
    tests = {name: test for name, test in vars(contract).items() if name.startswith("test_")}
    return {name: test for name, test in tests.items() if set(inspect.signature(test).parameters) <= _PORTS}


globals().update(_claims())


def test_most_of_the_suite_is_run() -> None:
    assert len(_claims()) >= 25
