"""The wire contract of the control plane, in raw HTTP: what clients written for it rely on."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from state.sql.engine import Database
from tests.control.plane import NIL, Plane, served_plane

KINDS = (
    "agent-classes",
    "model-providers",
    "system-prompts",
    "tools",
    "agent-definitions",
    "deployments",
)
REQUIRED = [
    ("agent-classes", "name"),
    ("model-providers", "name"),
    ("system-prompts", "name"),
    ("system-prompts", "content"),
    ("tools", "name"),
    ("tools", "json_schema"),
    ("agent-definitions", "name"),
    ("agent-definitions", "agent_class_id"),
    ("deployments", "name"),
    ("deployments", "agent_definition_id"),
]
DEFAULTS: dict[str, dict[str, Any]] = {
    "agent-classes": {"description": None},
    "model-providers": {"api_base_url": None, "description": None, "config": {}},
    "system-prompts": {
        "description": None,
        "status": "draft",
        "content_storage_type": "inline",
        "meta": None,
        "agent_class_id": None,
    },
    "tools": {"description": None, "safety_policy": None, "risk_level": "low"},
    "agent-definitions": {
        "description": None,
        "status": "draft",
        "execution_mode": "ephemeral",
        "config": {},
        "allow_outbound_a2a": False,
        "system_prompt_id": None,
        "structured_output_id": None,
        "model_provider_id": None,
        "model_name": None,
        "slug": "support",
    },
    "deployments": {
        "description": None,
        "environment": "production",
        "status": "spawning",
        "config": {},
        "project_context": {},
        "blueprint_id": None,
        "spec_md_path": None,
    },
}
NULLABLE = [
    ("agent-classes", "description"),
    ("model-providers", "api_base_url"),
    ("system-prompts", "meta"),
    ("tools", "safety_policy"),
    ("agent-definitions", "model_name"),
    ("deployments", "spec_md_path"),
]
NEVER_NULL = [
    ("agent-classes", "name"),
    ("model-providers", "config"),
    ("system-prompts", "content"),
    ("system-prompts", "status"),
    ("tools", "json_schema"),
    ("tools", "risk_level"),
    ("agent-definitions", "execution_mode"),
    ("agent-definitions", "allow_outbound_a2a"),
    ("deployments", "environment"),
    ("deployments", "project_context"),
]


def located(response: Any) -> list[list[str | int]]:
    """Where a 422 says that something is wrong."""
    assert response.status_code == 422, response.text
    details = response.json()["detail"]
    assert all(set(each) == {"loc", "msg", "type"} for each in details)
    return [each["loc"] for each in details]


# -- what every kind has ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_left_out_has_its_default(plane: Plane, kind: str) -> None:
    made = await plane.create(kind)

    assert {name: made[name] for name in DEFAULTS[kind]} == DEFAULTS[kind]
    assert str(UUID(made["id"])) == made["id"]
    has_times = {"created_at", "updated_at"} <= set(made)
    assert has_times is (kind != "tools")


@pytest.mark.parametrize(("kind", "name"), REQUIRED)
async def test_a_required_field_is_missed_by_name(plane: Plane, kind: str, name: str) -> None:
    body = await plane.needed(kind)
    del body[name]

    assert located(await plane.client.post(f"/{kind}", json=body)) == [["body", name]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_forms_of_a_collection_are_served(plane: Plane, kind: str, slash: str) -> None:
    made = await plane.client.post(f"/{kind}{slash}", json=await plane.needed(kind))
    listed = await plane.client.get(f"/{kind}{slash}")
    one = await plane.client.get(f"/{kind}/{made.json()['id']}{slash}")

    assert (made.status_code, listed.status_code, one.status_code) == (201, 200, 200)
    assert isinstance(listed.json(), list)
    assert one.json() == made.json() == listed.json()[0]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_nil_id_is_not_found_and_a_malformed_one_is_wrong(plane: Plane, kind: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        json: dict[str, Any] | None = {} if method == "PATCH" else None
        missing = await plane.client.request(method, f"/{kind}/{NIL}", json=json)
        malformed = await plane.client.request(method, f"/{kind}/not-a-uuid", json=json)

        assert missing.status_code == 404
        assert isinstance(missing.json()["detail"], str)
        assert located(malformed) == [["path", "id"]]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_deleted_is_gone(plane: Plane, kind: str) -> None:
    made = await plane.create(kind)
    deleted = await plane.client.delete(f"/{kind}/{made['id']}")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await plane.client.get(f"/{kind}/{made['id']}")).status_code == 404


@pytest.mark.parametrize(("kind", "name"), NULLABLE)
async def test_null_clears_and_what_is_left_out_stays(plane: Plane, kind: str, name: str) -> None:
    value = {"meta": {"a": 1}, "api_base_url": "http://127.0.0.1:9/v1"}.get(name, "something")
    made = await plane.create(kind, **{name: value})
    path = f"/{kind}/{made['id']}"

    untouched = (await plane.client.patch(path, json={})).json()
    cleared = (await plane.client.patch(path, json={name: None})).json()

    assert untouched == made
    assert (made[name], cleared[name]) == (value, None)


@pytest.mark.parametrize(("kind", "name"), NEVER_NULL)
async def test_null_where_there_must_be_a_value_is_wrong(plane: Plane, kind: str, name: str) -> None:
    made = await plane.create(kind)
    response = await plane.client.patch(f"/{kind}/{made['id']}", json={name: None})

    assert located(response) == [["body", name]]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_field_is_named(plane: Plane, kind: str) -> None:
    body = {**await plane.needed(kind), "nmae": "x"}

    assert located(await plane.client.post(f"/{kind}", json=body)) == [["body", "nmae"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1"])
async def test_pages_out_of_range_are_wrong_and_not_clamped(plane: Plane, kind: str, query: str) -> None:
    located(await plane.client.get(f"/{kind}?{query}"))


async def test_lists_begin_with_the_newest_and_have_pages(plane: Plane) -> None:
    names = [f"class {n:03}" for n in range(105)]
    for name in names:
        await plane.create("agent-classes", name=name)

    first = (await plane.client.get("/agent-classes")).json()
    rest = (await plane.client.get("/agent-classes?offset=100&limit=1000")).json()

    assert [each["name"] for each in first + rest] == names[::-1]
    assert len(first) == 100


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'"x"', b"\xff", b'{"name": NaN}', b'{"name": "a\\u0000b"}', b""]
)
async def test_what_cannot_be_read_is_a_422_with_a_list(plane: Plane, body: bytes) -> None:
    response = await plane.client.post(
        "/agent-classes", content=body, headers={"content-type": "application/json"}
    )

    located(response)


async def test_a_body_beyond_all_measure_is_refused(plane: Plane) -> None:
    response = await plane.client.post("/agent-classes", json={"name": "x", "description": "y" * 1_100_000})

    assert response.status_code == 413
    assert isinstance(response.json()["detail"], str)


# -- what some kinds have --------------------------------------------------------------------------


async def test_a_class_of_the_same_name_is_a_conflict(plane: Plane) -> None:
    await plane.create("agent-classes", name="ErrorHandlingDemo")
    other = await plane.create("agent-classes", name="Other")
    again = await plane.client.post("/agent-classes", json={"name": "ErrorHandlingDemo"})
    renamed = await plane.client.patch(f"/agent-classes/{other['id']}", json={"name": "ErrorHandlingDemo"})
    same = await plane.client.patch(f"/agent-classes/{other['id']}", json={"name": "Other"})

    assert (again.status_code, renamed.status_code, same.status_code) == (409, 409, 200)
    assert "ErrorHandlingDemo" in again.json()["detail"]


async def test_many_at_once_make_one_class(plane: Plane) -> None:
    answers = await asyncio.gather(
        *(plane.client.post("/agent-classes", json={"name": "Same"}) for _ in range(12))
    )

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 11]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("system-prompts", "agent_class_id"),
        ("agent-definitions", "agent_class_id"),
        ("agent-definitions", "system_prompt_id"),
        ("agent-definitions", "model_provider_id"),
        ("agent-definitions", "structured_output_id"),
        ("deployments", "agent_definition_id"),
    ],
)
async def test_a_reference_to_nothing_is_wrong_in_its_field(plane: Plane, kind: str, name: str) -> None:
    body = {**await plane.needed(kind), name: str(uuid4())}

    assert located(await plane.client.post(f"/{kind}", json=body)) == [["body", name]]


async def test_each_unknown_tool_is_named_by_its_place(plane: Plane) -> None:
    tool = await plane.create("tools")
    body = {**await plane.needed("agent-definitions"), "tool_ids": [tool["id"], NIL]}

    assert located(await plane.client.post("/agent-definitions", json=body)) == [["body", "tool_ids", 1]]


@pytest.mark.parametrize(
    ("used", "user", "field"),
    [
        ("agent-classes", "agent-definitions", "agent_class_id"),
        ("agent-classes", "system-prompts", "agent_class_id"),
        ("system-prompts", "agent-definitions", "system_prompt_id"),
        ("model-providers", "agent-definitions", "model_provider_id"),
        ("tools", "agent-definitions", "tool_ids"),
        ("agent-definitions", "deployments", "agent_definition_id"),
    ],
)
async def test_what_is_in_use_stays_and_the_users_are_named(
    plane: Plane, used: str, user: str, field: str
) -> None:
    thing = await plane.create(used, name="The used one")
    value = [thing["id"]] if field == "tool_ids" else thing["id"]
    holder = await plane.create(user, name="The user", **{field: value})

    refused = await plane.client.delete(f"/{used}/{thing['id']}")
    await plane.client.delete(f"/{user}/{holder['id']}")
    allowed = await plane.client.delete(f"/{used}/{thing['id']}")

    assert refused.status_code == 409
    assert "The user" in refused.json()["detail"]
    assert allowed.status_code == 204


async def test_a_slug_is_made_once_and_is_nobody_elses(plane: Plane) -> None:
    first = await plane.create("agent-definitions", name="Support & Returns")
    second = await plane.create("agent-definitions", name="Support / Returns")
    renamed = await plane.client.patch(f"/agent-definitions/{first['id']}", json={"name": "Another"})
    odd = await plane.create("agent-definitions", name="返品")

    assert (first["slug"], second["slug"], renamed.json()["slug"]) == (
        "support-returns",
        "support-returns-2",
        "support-returns",
    )
    assert odd["slug"]


@pytest.mark.parametrize("kind", ["agent-definitions", "system-prompts"])
async def test_what_is_published_changes_no_more(plane: Plane, kind: str) -> None:
    made = await plane.create(kind)
    path = f"/{kind}/{made['id']}"
    published = await plane.client.patch(path, json={"status": "published"})
    changed = await plane.client.patch(path, json={"name": "Another"})
    back = await plane.client.patch(path, json={"status": "draft"})
    the_same = await plane.client.patch(path, json={"status": "published", "name": made["name"]})
    deprecated = await plane.client.patch(path, json={"status": "deprecated"})
    again = await plane.client.patch(path, json={"status": "published"})

    codes = [each.status_code for each in (published, changed, back, the_same, deprecated, again)]
    assert codes == [200, 409, 409, 200, 200, 409]


async def test_tools_of_a_published_definition_stay(plane: Plane) -> None:
    tool = await plane.create("tools")
    made = await plane.create("agent-definitions")
    path = f"/agent-definitions/{made['id']}"
    before = await plane.client.post(f"{path}/tools", json={"tool_ids": [tool["id"], tool["id"]]})
    await plane.client.patch(path, json={"status": "published"})
    after = await plane.client.post(f"{path}/tools", json={"tool_ids": []})

    assert before.json()["tool_ids"] == [tool["id"]]
    assert after.status_code == 409


async def test_config_of_a_definition_is_replaced_whole(plane: Plane) -> None:
    made = await plane.create("agent-definitions", config={"a": 1, "b": 2})
    changed = await plane.client.patch(f"/agent-definitions/{made['id']}", json={"config": {"c": 3}})

    assert changed.json()["config"] == {"c": 3}


async def test_a_definition_tells_all_that_its_agent_needs(plane: Plane) -> None:
    prompt = await plane.create("system-prompts", content="Be brief.")
    tool = await plane.create("tools")
    made = await plane.create(
        "agent-definitions", system_prompt_id=prompt["id"], tool_ids=[tool["id"]], model_name="gpt-4"
    )
    config = (await plane.client.get(f"/agent-definitions/{made['id']}/config")).json()

    assert (config["system_prompt"], config["model_name"]) == ("Be brief.", "gpt-4")
    assert config["tools"] == [tool]
    assert set(config) == {
        "id",
        "name",
        "slug",
        "description",
        "status",
        "execution_mode",
        "model_name",
        "config",
        "version",
        "system_prompt",
        "structured_output_schema",
        "tools",
    }


async def test_lists_are_filtered(plane: Plane) -> None:
    own = await plane.one("agent-classes")
    ours = await plane.create("system-prompts", agent_class_id=own["id"])
    published = await plane.create("system-prompts", status="published")
    staging = await plane.create("deployments", environment="staging")
    await plane.create("deployments")

    async def ids(path: str) -> list[str]:
        return [each["id"] for each in (await plane.client.get(path)).json()]

    assert await ids(f"/system-prompts?agent_class_id={own['id']}") == [ours["id"]]
    assert await ids("/system-prompts?status=published") == [published["id"]]
    assert await ids("/deployments?environment=staging") == [staging["id"]]
    assert await ids("/deployments?active_only=true") == []
    assert len(await ids("/deployments?active_only=false")) == 2
    located(await plane.client.get("/system-prompts?status=nonsense"))


async def test_tools_are_synchronised_by_name_and_twice_changes_nothing(plane: Plane) -> None:
    body = {
        "tools": [
            {"name": "a", "json_schema": {"type": "object"}},
            {"name": "b", "json_schema": {"type": "object"}, "risk_level": "high"},
        ]
    }
    first = await plane.client.post("/tools/sync", json=body)
    second = await plane.client.post("/tools/sync", json=body)
    body["tools"][0]["description"] = "The first"
    third = await plane.client.post("/tools/sync", json=body)

    assert first.json() == second.json()
    assert [each["id"] for each in third.json()] == [each["id"] for each in first.json()]
    assert third.json()[0]["description"] == "The first"
    assert len((await plane.client.get("/tools/")).json()) == 2
    assert located(await plane.client.post("/tools/sync", json={"tools": []})) == [["body", "tools"]]


async def test_tools_are_discovered_from_allowed_sources_only(plane: Plane) -> None:
    found = await plane.client.post("/tools/discover", json={"source": "careline"})
    wrong = await plane.client.post("/tools/discover", json={"source": "os.path"})

    assert [each["name"] for each in found.json()] == ["open_ticket"]
    assert located(wrong) == [["body", "source"]]


async def test_only_probes_make_a_deployment_active(plane: Plane) -> None:
    made = await plane.create("deployments")
    path = f"/deployments/{made['id']}"
    by_hand = await plane.client.patch(path, json={"status": "active"})
    completed = await plane.client.patch(path, json={"status": "completed"})
    wrong = await plane.client.patch(path, json={"status": "running"})

    assert (by_hand.status_code, completed.json()["status"]) == (409, "completed")
    assert located(wrong) == [["body", "status"]]


# -- secrets ---------------------------------------------------------------------------------------


async def test_secrets_of_a_provider_are_sealed_and_never_shown(plane: Plane, database: Database) -> None:
    config = {"api_key": "sk-very-secret", "max_tokens": 5, "headers": {"X-Token": "t0ps3cret"}, "org": "us"}
    made = await plane.create("model-providers", config=config)
    path = f"/model-providers/{made['id']}"
    kept = await plane.client.patch(path, json={"config": {**made["config"], "org": "eu"}})
    audit = (await plane.client.get(f"/audit?resource_id={made['id']}")).text

    assert made["config"] == {
        "api_key": "[withheld]",
        "max_tokens": 5,
        "headers": {"X-Token": "[withheld]"},
        "org": "us",
    }
    assert kept.json()["config"]["org"] == "eu"
    assert "sk-very-secret" not in audit
    stored = await _raw(database)
    assert "sealed:" in stored
    assert "sk-very-secret" not in stored
    assert "t0ps3cret" not in stored


async def test_a_variable_of_the_environment_is_stored_by_its_name(plane: Plane) -> None:
    made = await plane.create("model-providers", config={"api_key": "env:OUR_MODEL_KEY"})

    assert made["config"] == {"api_key": "env:OUR_MODEL_KEY"}


async def test_a_secret_that_never_was_cannot_be_kept(plane: Plane) -> None:
    body = {"name": "x", "config": {"api_key": "[withheld]"}}

    assert located(await plane.client.post("/model-providers", json=body)) == [["body", "config", "api_key"]]


async def _raw(database: Database) -> str:
    import sqlalchemy as sa

    async def read(connection: Any) -> str:
        return str((await connection.execute(sa.text("SELECT config FROM model_providers"))).all())

    return await database.read(read)


async def test_models_of_a_provider_that_cannot_be_asked_are_no_failure_of_ours(plane: Plane) -> None:
    nowhere = await plane.create("model-providers")
    gone = await plane.create("model-providers", api_base_url="http://127.0.0.1:9/v1")
    answers = [await plane.client.get(f"/model-providers/{each['id']}/models") for each in (nowhere, gone)]
    verified = await plane.client.post(f"/model-providers/{gone['id']}/verify")

    assert [each.status_code for each in answers] == [409, 409]
    assert "api_base_url" in answers[0].json()["detail"]
    assert (verified.status_code, verified.json()["status"]) == (200, "failed")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/tools", "GET, POST"),
        ("/tools/", "GET, POST"),
        ("/tools/sync", "POST"),
        (f"/tools/{NIL}", "DELETE, GET, PATCH"),
    ],
)
async def test_another_method_is_told_all_that_there_are(plane: Plane, path: str, allowed: str) -> None:
    response = await plane.client.request("PUT", path)

    assert response.status_code == 405
    assert response.headers["Allow"] == allowed


# -- repeats ---------------------------------------------------------------------------------------


async def test_the_same_key_and_body_have_the_same_result(plane: Plane) -> None:
    headers = {"Idempotency-Key": "k" * 255}
    first = await plane.client.post("/agent-classes", json={"name": "Once"}, headers=headers)
    plane.clock.advance(47 * 3600)
    again = await plane.client.post("/agent-classes", json={"name": "Once"}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()


async def test_a_key_for_another_body_is_wrong(plane: Plane) -> None:
    headers = {"Idempotency-Key": "k1"}
    await plane.client.post("/agent-classes", json={"name": "Once"}, headers=headers)
    other = await plane.client.post("/agent-classes", json={"name": "Twice"}, headers=headers)
    too_long = await plane.client.post(
        "/agent-classes", json={"name": "Long"}, headers={"Idempotency-Key": "k" * 256}
    )

    assert located(other) == [["header", "Idempotency-Key"]]
    assert located(too_long) == [["header", "Idempotency-Key"]]


async def test_a_key_is_kept_for_two_days(plane: Plane) -> None:
    headers = {"Idempotency-Key": "k1"}
    await plane.client.post("/tools", json=await plane.needed("tools"), headers=headers)
    plane.clock.advance(48 * 3600 + 1)
    later = await plane.client.post("/tools", json=await plane.needed("tools"), headers=headers)

    assert later.status_code == 201
    assert len((await plane.client.get("/tools/")).json()) == 2


async def test_repeats_wait_for_the_first_that_is_running(plane: Plane) -> None:
    headers = {"Idempotency-Key": "k1"}
    body = await plane.needed("tools")
    answers = await asyncio.gather(
        *(plane.client.post("/tools", json=body, headers=headers) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len((await plane.client.get("/tools/")).json()) == 1


async def test_the_same_request_id_path_and_body_are_the_same_request(plane: Plane) -> None:
    headers = {"X-Request-ID": "retry-1"}
    body = await plane.needed("tools")
    first = await plane.client.post("/tools", json=body, headers=headers)
    again = await plane.client.post("/tools", json=body, headers=headers)
    path = f"/tools/{first.json()['id']}"
    gone = [(await plane.client.delete(path, headers=headers)).status_code for _ in range(2)]
    plane.clock.advance(601)
    much_later = await plane.client.post("/tools", json=body, headers=headers)

    assert first.json() == again.json()
    assert first.headers["X-Request-ID"] == "retry-1"
    assert gone == [204, 204]
    assert much_later.json()["id"] != first.json()["id"]


async def test_a_failed_request_is_not_remembered(plane: Plane) -> None:
    headers = {"Idempotency-Key": "k1"}
    made = await plane.create("agent-classes", name="There")
    refused = await plane.client.post("/agent-classes", json={"name": "There"}, headers=headers)
    await plane.client.delete(f"/agent-classes/{made['id']}")
    allowed = await plane.client.post("/agent-classes", json={"name": "There"}, headers=headers)

    assert (refused.status_code, allowed.status_code) == (409, 201)


# -- audit, service --------------------------------------------------------------------------------


async def test_every_change_tells_who_when_before_and_after(plane: Plane) -> None:
    made = await plane.create("agent-classes", name="One")
    await plane.client.patch(f"/agent-classes/{made['id']}", json={"name": "Two"})
    await plane.client.patch(f"/agent-classes/{made['id']}", json={"name": "Two"})
    await plane.client.delete(f"/agent-classes/{made['id']}")
    audit = (await plane.client.get(f"/audit?resource_id={made['id']}")).json()

    assert [each["action"] for each in audit] == ["delete", "update", "create"]
    assert [(each["before"] or {}).get("name") for each in audit] == ["Two", "One", None]
    assert [(each["after"] or {}).get("name") for each in audit] == [None, "Two", "One"]
    assert {each["who"] for each in audit} == {"local"}


async def test_health_is_200_and_metrics_are_an_object(plane: Plane) -> None:
    health = await plane.client.get("/health")
    metrics = await plane.client.get("/metrics")

    assert (health.status_code, set(health.json())) == (200, {"status", "version", "dependencies"})
    assert all(isinstance(value, float) for value in metrics.json().values())


async def test_logs_are_the_newest_events_of_a_level(plane: Plane) -> None:
    for n, level in enumerate(["debug", "info", "warning", "error"]):
        plane.recent.add({"event": f"thing.{n}", "level": level, "timestamp": "2026-11-28", "n": n})
    everything = (await plane.client.get("/logs?limit=3")).json()
    grave = (await plane.client.get("/logs?level=warning")).json()

    assert [each["message"] for each in everything] == ["thing.3", "thing.2", "thing.1"]
    assert [each["level"] for each in grave] == ["error", "warning"]
    located(await plane.client.get("/logs?limit=0"))
    located(await plane.client.get("/logs?level=loud"))


async def test_the_document_names_the_schemas_as_clients_do(plane: Plane) -> None:
    document = (await plane.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    for name in ("AgentClass", "ModelProvider", "SystemPrompt", "Tool", "AgentDefinition", "Deployment"):
        assert {f"{name}Create", f"{name}Update", f"{name}Read"} <= set(schemas)


# -- who may ---------------------------------------------------------------------------------------


async def test_keys_are_asked_for_where_there_are_some(database: Database, tmp_path: Path) -> None:
    keys = "shop:server-key-of-16-or-more,acme:acme-key-of-16-or-more:acme"
    async with served_plane(database, tmp_path, api_keys=keys) as plane:
        nobody = await plane.client.post("/agent-classes", json={"name": "x"})
        wrong = await plane.client.get(
            "/agent-classes", headers={"Authorization": "Bearer nonsense-key-12345"}
        )
        bearer = {"Authorization": "Bearer server-key-of-16-or-more"}
        made = await plane.client.post("/agent-classes", json={"name": "x"}, headers=bearer)
        basic = await plane.client.get("/agent-classes", auth=("user", "server-key-of-16-or-more"))
        others = await plane.client.get("/agent-classes", auth=("user", "acme-key-of-16-or-more"))
        who = (await plane.client.get("/audit", headers=bearer)).json()[0]["who"]

    assert (nobody.status_code, wrong.status_code, made.status_code) == (401, 401, 201)
    assert isinstance(nobody.json()["detail"], str)
    assert [each["name"] for each in basic.json()] == ["x"]
    assert others.json() == []
    assert who == "server:shop"


async def test_a_customer_is_not_let_in(database: Database, tmp_path: Path) -> None:
    settings = {"api_keys": "shop:server-key-of-16-or-more", "allow_anonymous": True}
    async with served_plane(database, tmp_path, **settings) as plane:
        visitors = str(plane.client.base_url).replace("/api/v1/", "/v1/visitors")
        token = (await plane.client.post(visitors)).json()["token"]
        response = await plane.client.get("/agent-classes", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 403
