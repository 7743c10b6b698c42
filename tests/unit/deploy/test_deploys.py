"""What a deploy makes, changes, makes anew and leaves; and that a second one has nothing to do."""

from pathlib import Path

import pytest

from agent.deploy.outcome import Outcome, Result, State
from core.errors import DependencyRejectedInput
from tests.unit.deploy.files import SHOP, deploy
from tests.unit.deploy.memory_plane import MemoryPlane


def states(outcome: Outcome) -> dict[str, State]:
    return {f"{each.section}.{each.name}": each.state for each in outcome.resources}


async def test_everything_is_made_and_names_each_other(tmp_path: Path) -> None:
    plane = MemoryPlane()

    outcome = await deploy(plane, tmp_path)

    assert (outcome.result, outcome.exit_code) == (Result.APPLIED, 0)
    assert set(states(outcome).values()) == {State.CREATED}
    agent = plane.one("agent-definitions", "agent")
    assert agent["agent_class_id"] == plane.one("agent-classes", "support")["id"]
    assert agent["tool_ids"] == [
        plane.one("tools", "search_knowledge")["id"],
        plane.one("tools", "open_ticket")["id"],
    ]
    assert agent["status"] == plane.one("system-prompts", "tone")["status"] == "published"
    assert plane.one("deployments", "live")["agent_definition_id"] == agent["id"]
    assert plane.one("deployments", "live")["status"] == "active"


async def test_a_second_deploy_writes_nothing(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    writes = list(plane.writes)

    again = await deploy(plane, tmp_path)
    elsewhere = tmp_path / "another machine"
    elsewhere.mkdir()
    without_record = await deploy(plane, elsewhere)

    assert (again.result, without_record.result) == (Result.UNCHANGED, Result.UNCHANGED)
    assert plane.writes == writes
    assert not (tmp_path / "state" / "journal.jsonl").exists()


async def test_what_does_not_depend_on_each_other_is_made_at_once_but_bounded(tmp_path: Path) -> None:
    many = "tools:\n" + "".join(f"  tool_{n}: {{json_schema: {{type: object}}}}\n" for n in range(20))
    plane = MemoryPlane()

    await deploy(plane, tmp_path, many, at_once=3)

    assert plane.most_at_once == 3
    assert len(plane.rows["tools"]) == 20


async def test_a_field_that_differs_is_changed_and_a_field_left_out_has_its_default(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    text = SHOP.replace("description: Answers customers", "description: Sells").replace(
        "risk_level: medium", ""
    )

    outcome = await deploy(plane, tmp_path, text)

    assert plane.one("agent-classes", "support")["description"] == "Sells"
    assert plane.one("tools", "open_ticket")["risk_level"] == "low"
    changed = {name: state for name, state in states(outcome).items() if state is not State.UNCHANGED}
    assert changed == {"classes.support": State.UPDATED, "tools.open_ticket": State.UPDATED}


async def test_what_is_published_is_made_anew_with_all_that_serves_it(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    old = {kind: plane.rows[kind][0]["id"] for kind in ("system-prompts", "agent-definitions", "deployments")}

    outcome = await deploy(plane, tmp_path, SHOP.replace("Be kind.", "Be brief."))

    assert states(outcome)["prompts.tone"] is State.REPLACED
    assert [row["content"] for row in plane.rows["system-prompts"]] == ["Be brief.", "Be kind."]
    assert plane.one("agent-definitions", "agent")["system_prompt_id"] != old["system-prompts"]
    newest, before = plane.rows["deployments"]
    assert newest["agent_definition_id"] == plane.one("agent-definitions", "agent")["id"]
    assert (newest["status"], before["status"], before["id"]) == ("active", "completed", old["deployments"])
    assert (await deploy(plane, tmp_path, SHOP.replace("Be kind.", "Be brief."))).result is Result.UNCHANGED


async def test_a_draft_is_changed_in_place_and_its_deployment_made_anew(tmp_path: Path) -> None:
    drafts = SHOP.replace("    status: published\n", "")
    plane = MemoryPlane()
    await deploy(plane, tmp_path, drafts)

    outcome = await deploy(plane, tmp_path, drafts.replace("Be kind.", "Be brief."))

    assert states(outcome)["prompts.tone"] is State.UPDATED
    assert states(outcome)["definitions.agent"] is State.UNCHANGED
    assert [row["status"] for row in plane.rows["deployments"]] == ["active", "completed"]


async def test_publishing_a_draft_makes_a_new_one_since_it_could_not_be_taken_back(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path, SHOP.replace("    status: published\n", ""))

    await deploy(plane, tmp_path)

    assert [row["status"] for row in plane.rows["system-prompts"]] == ["published", "draft"]


async def test_another_secret_is_stored_in_a_new_provider(tmp_path: Path) -> None:
    written = SHOP.replace("env:SHOP_MODEL_KEY", "sk-first")
    plane = MemoryPlane()
    await deploy(plane, tmp_path, written)

    same = await deploy(plane, tmp_path, written)
    slower = await deploy(plane, tmp_path, written.replace("timeout: 20", "timeout: 30"))
    rotated = await deploy(
        plane, tmp_path, written.replace("timeout: 20", "timeout: 30").replace("first", "second")
    )

    assert same.result is Result.UNCHANGED
    assert states(slower)["providers.local"] is State.UPDATED
    assert states(rotated)["providers.local"] is State.REPLACED
    assert [row["config"]["api_key"] for row in plane.rows["model-providers"]] == ["sk-second", "[withheld]"]
    assert "sk-" not in (tmp_path / "state" / "made.json").read_text()
    assert not any("sk-" in str(each) for outcome in (slower, rotated) for each in outcome.resources)


async def test_only_what_was_made_by_the_file_is_pruned(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await plane.create("tools", {"name": "of others", "json_schema": {}}, key="theirs")
    adopted = await plane.create(
        "tools", {"name": "open_ticket", "json_schema": {"type": "object"}}, key="too"
    )
    await deploy(plane, tmp_path)
    less = SHOP.replace(", open_ticket]", "]").replace(
        "  open_ticket:\n    json_schema: {type: object}\n    risk_level: medium\n", ""
    )

    left = await deploy(plane, tmp_path, less)
    pruned = await deploy(plane, tmp_path, less, prunes=True)

    assert left.result is Result.APPLIED
    assert any("--prune" in note for note in left.notes)
    assert pruned.result is Result.APPLIED
    assert {row["id"] for row in plane.rows["tools"]} >= {adopted["id"]}
    assert "of others" in plane.names("tools")
    assert len(plane.rows["deployments"]) == len(plane.rows["agent-definitions"]) == 1
    assert (await deploy(plane, tmp_path, less, prunes=True)).result is Result.UNCHANGED


async def test_what_is_in_use_elsewhere_is_not_pruned_and_told(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    theirs = {"name": "theirs", "agent_class_id": plane.one("agent-classes", "support")["id"], "tool_ids": []}
    await plane.create("agent-definitions", theirs, key="theirs")

    outcome = await deploy(plane, tmp_path, "tools:\n  other: {json_schema: {}}\n", prunes=True)

    kept = [each for each in outcome.resources if each.state is State.LEFT]
    assert [(each.section, each.name) for each in kept] == [("classes", "support")]
    assert "theirs" in kept[0].said
    assert plane.names("deployments") == []


async def test_an_existing_one_is_named_and_never_touched(tmp_path: Path) -> None:
    plane = MemoryPlane()
    text = SHOP.replace(
        "    api_base_url: http://127.0.0.1:9/v1\n    config: {api_key: env:SHOP_MODEL_KEY, timeout: 20}\n",
        "    existing: true\n",
    )

    missing = await deploy(plane, tmp_path, text)
    theirs = await plane.create("model-providers", {"name": "local", "config": {"x": 1}}, key="theirs")
    found = await deploy(plane, tmp_path, text)

    assert (missing.exit_code, found.exit_code) == (2, 0)
    assert "providers.local" in missing.error
    assert plane.one("agent-definitions", "agent")["model_provider_id"] == theirs["id"]
    assert [write for write in plane.writes if "providers" in write] == ["create model-providers"]


async def test_a_deployment_that_fails_its_probes_is_taken_back_with_all_else(tmp_path: Path) -> None:
    plane = MemoryPlane()
    plane.failing["live"] = "the provider does not answer"

    outcome = await deploy(plane, tmp_path)

    assert (outcome.result, outcome.exit_code, outcome.recoverable) == (Result.ROLLED_BACK, 1, False)
    assert "the provider does not answer" in outcome.error
    assert all(rows == [] for rows in plane.rows.values())
    assert states(outcome)["deployments.live"] is State.FAILED
    assert states(outcome)["tools.open_ticket"] is State.TAKEN_BACK


async def test_one_that_takes_too_long_is_taken_back_and_may_be_tried_again(tmp_path: Path) -> None:
    plane = MemoryPlane()
    plane.is_slow = True

    outcome = await deploy(plane, tmp_path, wait_seconds=0.0)

    assert (outcome.result, outcome.exit_code) == (Result.ROLLED_BACK, 4)
    assert plane.rows["deployments"] == []


async def test_without_waiting_the_one_before_serves_until_a_deploy_has_waited(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    plane.is_slow = True

    hurried = await deploy(plane, tmp_path, SHOP.replace("small", "large"), wait_seconds=None)
    between = [row["status"] for row in plane.rows["deployments"]]
    plane.is_slow = False
    waited = await deploy(plane, tmp_path, SHOP.replace("small", "large"))

    assert hurried.result is Result.APPLIED
    assert between == ["spawning", "active"]
    assert waited.result is Result.APPLIED
    assert [row["status"] for row in plane.rows["deployments"]] == ["active", "completed"]


async def test_the_one_before_may_be_kept_to_go_back_to(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    large = SHOP.replace("small", "large")

    await deploy(plane, tmp_path, large, retires=False)
    again = await deploy(plane, tmp_path, large, retires=False)

    assert again.result is Result.UNCHANGED
    assert [row["status"] for row in plane.rows["deployments"]] == ["active", "active"]
    await deploy(plane, tmp_path, large)
    assert [row["status"] for row in plane.rows["deployments"]] == ["active", "completed"]


async def test_a_failed_deployment_is_tried_again(tmp_path: Path) -> None:
    plane = MemoryPlane()
    await deploy(plane, tmp_path)
    plane.one("deployments", "live")["status"] = "failed"

    outcome = await deploy(plane, tmp_path)

    assert states(outcome)["deployments.live"] is State.UPDATED
    assert [row["status"] for row in plane.rows["deployments"]] == ["active"]


async def test_after_a_failure_nothing_new_is_begun(tmp_path: Path) -> None:
    many = "tools:\n" + "".join(f"  tool_{n}: {{json_schema: {{type: object}}}}\n" for n in range(20))
    plane = MemoryPlane()
    plane.fault = lambda number, what, when: DependencyRejectedInput("plane", "no") if number == 3 else None

    outcome = await deploy(plane, tmp_path, many, at_once=1)

    assert plane.writes == [*["create tools"] * 3, *["delete tools"] * 2]
    assert [each.state for each in outcome.resources].count(State.NOT_BEGUN) == 17


async def test_a_deployment_is_made_anew_where_others_changed_what_it_holds_fast(tmp_path: Path) -> None:
    drafts = SHOP.replace("    status: published\n", "")
    plane = MemoryPlane()
    await deploy(plane, tmp_path, drafts)
    prompt = plane.one("system-prompts", "tone")
    await plane.update("system-prompts", prompt["id"], {"content": "Be brief."})

    outcome = await deploy(plane, tmp_path, drafts.replace("Be kind.", "Be brief."))

    changed = [(each.section, each.state) for each in outcome.resources if each.state is not State.UNCHANGED]
    assert changed == [("deployments", State.REPLACED), ("deployments", State.RETIRED)]
    assert [row["status"] for row in plane.rows["deployments"]] == ["active", "completed"]


@pytest.mark.parametrize("place", range(1, 9))
async def test_a_refusal_anywhere_takes_back_all_that_was_made(tmp_path: Path, place: int) -> None:
    plane = MemoryPlane()
    plane.fault = lambda number, what, when: (
        DependencyRejectedInput("plane", "no") if (number, when) == (place, "before") else None
    )

    outcome = await deploy(plane, tmp_path)

    assert (outcome.result, outcome.exit_code, outcome.recoverable) == (Result.ROLLED_BACK, 1, False)
    assert all(rows == [] for rows in plane.rows.values())
