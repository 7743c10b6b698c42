"""Deployments over real processes on one PostgreSQL: a change reaches each of them, and neither an outage nor a kill loses it."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.careline_process import CarelineProcess
from tests.servers import PostgresServer, RedisServer
from tests.timing import assert_within

_REACHES_SECONDS = 5.0
_PATIENCE_SECONDS = 40.0


class Plane:
    """The control plane of one replica."""

    def __init__(self, process: CarelineProcess) -> None:
        self._url = f"{process.url}/api/v1"

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(self._url + path, json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def patch(self, path: str, **body: Any) -> None:
        answer = httpx.patch(self._url + path, json=body, timeout=10)
        assert answer.status_code == 200, answer.text

    def status(self, deployment: str) -> str:
        return str(httpx.get(f"{self._url}/deployments/{deployment}", timeout=10).json()["status"])

    def definition(self) -> str:
        made = self.post("/agent-classes", name=f"class {time.monotonic()}")
        return str(self.post("/agent-definitions", name="Support", agent_class_id=made["id"])["id"])

    def deploy(self, definition: str, **config: Any) -> str:
        """Once it is active."""
        body = {"name": "live", "agent_definition_id": definition, "config": config}
        id = str(self.post("/deployments", **body)["id"])
        until(lambda: self.status(id) == "active")
        return id


def answered_by(process: CarelineProcess, **body: Any) -> str | None:
    answer = httpx.post(f"{process.url}/v1/chat", json={"message": "Hello", **body}, timeout=10)
    assert answer.status_code == 200, answer.text
    agent = answer.json()["agent"]
    return agent and str(agent["deployment_id"])


def is_answered_by(process: CarelineProcess, deployment: str) -> bool:
    return answered_by(process) == deployment


def until(is_so: Callable[[], bool]) -> float:
    """How long it took."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < _PATIENCE_SECONDS, "it did not come about in time"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def replicas(
    tmp_path: Path, killable_postgres: PostgresServer, killable_redis: RedisServer
) -> Iterator[tuple[CarelineProcess, CarelineProcess]]:
    settings = {
        "database_url": killable_postgres.url(),
        "redis_url": killable_redis.url,
        "rate_limit_per_customer": "0",
    }
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(CarelineProcess(tmp_path, {**settings, "data_dir": str(tmp_path / name)}))
            for name in ("one", "two")
        )
        yield one, two


Replicas = tuple[CarelineProcess, CarelineProcess]


@pytest.mark.alone
def test_a_change_reaches_every_replica_within_five_seconds(replicas: Replicas) -> None:
    one, two = replicas
    plane = Plane(one)
    definition = plane.definition()
    first = plane.deploy(definition)
    appeared = [until(partial(is_answered_by, each, first)) for each in replicas]
    second = plane.deploy(definition)
    until(lambda: answered_by(two) == second)
    plane.patch(f"/deployments/{second}", status="completed")
    rolled_back = [until(partial(is_answered_by, each, first)) for each in replicas]

    assert_within(max(*appeared, *rolled_back), _REACHES_SECONDS)


def test_a_conversation_has_the_same_agent_on_every_replica(replicas: Replicas) -> None:
    one, two = replicas
    plane = Plane(one)
    definition = plane.definition()
    stable, canary = plane.deploy(definition), plane.deploy(definition, traffic_share=50)
    until(lambda: {answered_by(two) for _ in range(12)} == {stable, canary})
    began = {
        f"m{n}": httpx.post(
            f"{one.url}/v1/chat",
            json={"message": "Hello", "customer_id": "kim", "client_message_id": f"m{n}"},
        ).json()
        for n in range(12)
    }
    plane.patch(f"/deployments/{canary}", config={"traffic_share": 0})
    time.sleep(2.0)
    goes_on = [
        answered_by(two, conversation_id=each["conversation_id"], customer_id="kim")
        for each in began.values()
    ]

    assert goes_on == [each["agent"]["deployment_id"] for each in began.values()]
    assert set(goes_on) == {stable, canary}
    assert {answered_by(two) for _ in range(12)} == {stable}


def test_while_sql_is_down_and_over_a_restart_the_last_known_deployment_answers(
    replicas: Replicas, killable_postgres: PostgresServer
) -> None:
    one, two = replicas
    deployment = Plane(one).deploy(Plane(one).definition())
    until(lambda: answered_by(one) == answered_by(two) == deployment)
    killable_postgres.kill()
    meanwhile = answered_by(one)
    two.kill()
    two.start()
    restarted = answered_by(two)
    killable_postgres.start()
    until(lambda: httpx.get(f"{two.url}/readyz").json()["status"] == "ready")

    assert (meanwhile, restarted, answered_by(two)) == (deployment, deployment, deployment)


def test_a_spawn_that_was_cut_by_a_kill_is_taken_up_by_another(replicas: Replicas, silent_model: str) -> None:
    one, two = replicas
    plane = Plane(two)
    provider = plane.post("/model-providers", name="Silent", api_base_url=silent_model)
    kind = plane.post("/agent-classes", name="x")
    definition = plane.post(
        "/agent-definitions", name="Support", agent_class_id=kind["id"], model_provider_id=provider["id"]
    )
    two.pause()  # so that the first one takes it up
    made = Plane(one)
    id = made.post("/deployments", name="live", agent_definition_id=definition["id"])["id"]
    time.sleep(1.5)
    still = made.status(id)
    one.kill()
    two.resume()
    ended = until(lambda: plane.status(id) == "failed")

    assert still == "spawning"
    assert ended < _PATIENCE_SECONDS


@pytest.fixture
def silent_model() -> Iterator[str]:
    """An address where somebody listens and says nothing: a probe there lasts until its time is over."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
