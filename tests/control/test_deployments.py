"""What a deployment holds fast, what changes with it, and who may end its probes."""

import asyncio
from typing import Any
from uuid import UUID

from core.control_records import Deployment, DeploymentStatus
from state.sql.deployments import SqlSpawning
from state.sql.engine import Database
from tests.control.plane import Plane
from tests.control.test_contract import located


async def stored(plane: Plane, made: dict[str, Any]) -> Deployment:
    return await plane.control.get("default", Deployment, UUID(made["id"]))


async def activated(plane: Plane, made: dict[str, Any], failure: str | None = None) -> Deployment:
    assert await plane.control.conclude("default", "probes", await stored(plane, made), failure)
    return await stored(plane, made)


async def test_a_definition_counts_its_versions(plane: Plane) -> None:
    made = await plane.create("agent-definitions", config={"locale": "en"})
    path = f"/agent-definitions/{made['id']}"
    await plane.client.patch(path, json={"config": {"locale": "de"}})
    await plane.client.patch(path, json={"config": {"locale": "de"}})
    tool = await plane.create("tools")
    changed = await plane.client.post(f"{path}/tools", json={"tool_ids": [tool["id"]]})

    assert (made["version"], changed.json()["version"]) == (1, 3)


async def test_a_deployment_serves_what_it_was_made_of_whatever_the_draft_becomes(plane: Plane) -> None:
    prompt = await plane.create("system-prompts", content="Be kind.")
    tool = await plane.create("tools", name="search_knowledge")
    definition = await plane.create(
        "agent-definitions", system_prompt_id=prompt["id"], tool_ids=[tool["id"]], model_name="first"
    )
    made = await plane.create("deployments", agent_definition_id=definition["id"])
    await plane.client.patch(f"/system-prompts/{prompt['id']}", json={"content": "Be rude."})
    await plane.client.patch(f"/agent-definitions/{definition['id']}", json={"model_name": "second"})
    await plane.client.post(f"/agent-definitions/{definition['id']}/tools", json={"tool_ids": []})

    pinned = (await stored(plane, made)).pinned

    assert pinned is not None
    assert (pinned.system_prompt, pinned.model_name, pinned.tools) == (
        "Be kind.",
        "first",
        ("search_knowledge",),
    )
    assert (pinned.slug, pinned.version, made["definition_version"]) == ("support", 1, 1)


async def test_spawning_again_takes_the_definition_as_it_is_then(plane: Plane) -> None:
    definition = await plane.create("agent-definitions", model_name="first")
    made = await plane.create("deployments", agent_definition_id=definition["id"])
    failed = await activated(plane, made, failure="no such tool")
    await plane.client.patch(f"/agent-definitions/{definition['id']}", json={"model_name": "second"})
    again = (await plane.client.patch(f"/deployments/{made['id']}", json={"status": "spawning"})).json()

    assert (failed.status, failed.failure) == (DeploymentStatus.FAILED, "no such tool")
    assert (again["status"], again["failure"], again["definition_version"]) == ("spawning", None, 2)


async def test_a_provider_that_a_deployment_holds_cannot_be_deleted(plane: Plane) -> None:
    provider = await plane.create("model-providers")
    definition = await plane.create("agent-definitions", model_provider_id=provider["id"])
    made = await plane.create("deployments", agent_definition_id=definition["id"])
    await plane.client.patch(f"/agent-definitions/{definition['id']}", json={"model_provider_id": None})
    refused = await plane.client.delete(f"/model-providers/{provider['id']}")

    assert refused.status_code == 409
    assert made["id"] in refused.json()["detail"]


async def test_a_deployment_that_was_changed_meanwhile_is_not_concluded(plane: Plane) -> None:
    made = await plane.create("deployments")
    probed = await stored(plane, made)
    await plane.client.patch(f"/deployments/{made['id']}", json={"config": {"traffic_share": 5}})

    assert not await plane.control.conclude("default", "probes", probed, None)
    assert (await stored(plane, made)).status is DeploymentStatus.SPAWNING


async def test_two_that_probed_the_same_conclude_it_once(plane: Plane) -> None:
    made = await plane.create("deployments")
    probed = await stored(plane, made)
    concluded = [
        await plane.control.conclude("default", "probes", probed, failure) for failure in (None, "late")
    ]

    assert concluded == [True, False]
    assert (await stored(plane, made)).status is DeploymentStatus.ACTIVE


async def test_the_end_of_the_probes_is_audited(plane: Plane) -> None:
    made = await plane.create("deployments")
    await activated(plane, made)
    audit = (await plane.client.get(f"/audit?resource_id={made['id']}")).json()

    assert [(each["who"], each["after"]["status"]) for each in audit] == [
        ("probes", "active"),
        ("local", "spawning"),
    ]


async def test_an_active_deployment_takes_another_share_at_once_and_a_wrong_one_not_at_all(
    plane: Plane,
) -> None:
    made = await plane.create("deployments", config={"traffic_share": 10})
    await activated(plane, made)
    path = f"/deployments/{made['id']}"
    ramped = await plane.client.patch(path, json={"config": {"traffic_share": 50}})
    wrong = await plane.client.patch(path, json={"config": {"traffic_share": 500}})

    assert (ramped.json()["status"], ramped.json()["config"]) == ("active", {"traffic_share": 50})
    assert located(wrong) == [["body", "config"]]
    assert "traffic_share" in wrong.json()["detail"][0]["msg"]


async def test_an_active_deployment_that_moves_is_probed_again(plane: Plane) -> None:
    made = await plane.create("deployments")
    await activated(plane, made)
    moved = await plane.client.patch(f"/deployments/{made['id']}", json={"environment": "staging"})

    assert moved.json()["status"] == "spawning"


async def test_rolling_back_ends_it_and_names_the_one_that_serves_again(plane: Plane) -> None:
    first, second = await plane.create("deployments"), await plane.create("deployments")
    staging = await plane.create("deployments", environment="staging")
    for made in (first, second, staging):
        await activated(plane, made)
    rolled_back = await plane.client.post(f"/deployments/{second['id']}/rollback")
    again = await plane.client.post(
        f"/deployments/{second['id']}/rollback", headers={"X-Request-ID": "other"}
    )
    last = await plane.client.post(f"/deployments/{first['id']}/rollback")

    assert (rolled_back.status_code, rolled_back.json()["id"]) == (200, first["id"])
    assert (await stored(plane, second)).status is DeploymentStatus.COMPLETED
    assert (again.status_code, last.status_code) == (409, 409)
    assert (await stored(plane, first)).status is DeploymentStatus.ACTIVE


# -- who probes ------------------------------------------------------------------------------------


async def test_one_at_a_time_has_a_deployment_to_probe(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    spawning, id = SqlSpawning(database), UUID(made["id"])
    taken = await asyncio.gather(
        *(spawning.claim("default", id, owner=f"replica-{n}", seconds=60) for n in range(6))
    )

    (claimed,) = [each for each in taken if each is not None]
    assert claimed == await stored(plane, made)
    assert list(await spawning.waiting("production", limit=5)) == []


async def test_who_died_with_it_is_followed_by_another(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    spawning, id = SqlSpawning(database), UUID(made["id"])
    await spawning.claim("default", id, owner="dead", seconds=0.05)
    await asyncio.sleep(0.1)

    assert list(await spawning.waiting("production", limit=5)) == [("default", id)]
    assert await spawning.claim("default", id, owner="alive", seconds=60) is not None
    assert not await spawning.renew("default", id, owner="dead", seconds=60)
    assert await spawning.renew("default", id, owner="alive", seconds=60)


async def test_what_is_released_waits_again_unless_it_is_another_s(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    spawning, id = SqlSpawning(database), UUID(made["id"])
    await spawning.claim("default", id, owner="one", seconds=60)
    await spawning.release("default", id, owner="two")
    still_taken = list(await spawning.waiting("production", limit=5))
    await spawning.release("default", id, owner="one")

    assert (still_taken, list(await spawning.waiting("production", limit=5))) == ([], [("default", id)])


async def test_another_environment_and_what_is_over_wait_for_nobody(plane: Plane, database: Database) -> None:
    await plane.create("deployments", environment="staging")
    over = await plane.create("deployments")
    await plane.client.patch(f"/deployments/{over['id']}", json={"status": "completed"})

    assert list(await SqlSpawning(database).waiting("production", limit=5)) == []


# -- pages that do not shift -----------------------------------------------------------------------


async def test_pages_before_the_last_seen_show_each_once_while_others_are_made_and_deleted(
    plane: Plane,
) -> None:
    names = [f"class {n:02}" for n in range(25)]
    for name in names:
        await plane.create("agent-classes", name=name)
    seen: list[str] = []
    before = ""
    while page := (await plane.client.get(f"/agent-classes?limit=10{before}")).json():
        seen += [each["name"] for each in page]
        await plane.create("agent-classes", name=f"made while paging {len(seen)}")
        await plane.client.delete(f"/agent-classes/{page[-1]['id']}")
        before = f"&before={page[-1]['id']}"

    assert seen == names[::-1]


async def test_pages_before_what_was_made_together_lose_nothing(plane: Plane) -> None:
    tools = [{"name": f"tool {n}", "json_schema": {"type": "object"}} for n in range(7)]
    await plane.client.post("/tools/sync", json={"tools": tools})
    seen: list[str] = []
    before = ""
    while page := (await plane.client.get(f"/tools/?limit=2{before}")).json():
        seen += [each["name"] for each in page]
        before = f"&before={page[-1]['id']}"

    assert sorted(seen) == [tool["name"] for tool in tools]


async def test_a_page_before_nothing_is_wrong(plane: Plane) -> None:
    unknown = await plane.client.get("/agent-classes?before=00000000-0000-0000-0000-000000000001")

    assert located(unknown) == [["query", "before"]]
