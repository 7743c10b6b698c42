"""What a deployment's configuration may say, and that whatever else it says is named."""

from typing import Any

import pytest

from agent.control.agent_config import Budgets, ConfigWrong, DeploymentConfig, read_config


def test_nothing_said_is_as_the_settings_say() -> None:
    assert read_config({}, {}) == DeploymentConfig()
    assert DeploymentConfig().traffic_share == 100.0


def test_the_deployments_fields_go_over_the_definitions_one_by_one() -> None:
    config = read_config(
        {"locale": "de", "budgets": {"tokens": 900, "tool_calls": 2}, "guardrails": {"abuse": False}},
        {"budgets": {"tokens": 5000}, "traffic_share": 10, "channels": ["web"]},
    )

    assert (config.locale, config.traffic_share, config.channels) == ("de", 10.0, frozenset({"web"}))
    assert config.budgets == Budgets(tokens=5000, tool_calls=2)
    assert config.guardrails.abuse is False


@pytest.mark.parametrize(
    ("definition", "deployment", "named"),
    [
        ({"locale": 3}, {}, "agent-definitions: config.locale"),
        ({"temprature": 1}, {}, "temprature"),
        (
            {"traffic_share": 10},
            {},
            "agent-definitions: config: Object contains unknown field `traffic_share`",
        ),
        ({}, {"traffic_share": 101}, "deployments: config.traffic_share"),
        ({}, {"traffic_share": "10"}, "deployments: config.traffic_share"),
        ({}, {"channels": []}, "deployments: config.channels"),
        ({}, {"channels": "web"}, "deployments: config.channels"),
        ({}, {"budgets": {"tokens": 1}}, "deployments: config.budgets.tokens"),
        ({"budgets": None}, {}, "agent-definitions: config.budgets"),
        ({}, {"guardrails": {"pii_in": ["shoe_size"]}}, "deployments: config.guardrails.pii_in"),
        ({}, {"guardrails": {"topics": [{"name": ""}]}}, "deployments: config.guardrails.topics[0].name"),
        ({"budgets": {"cost": 0.2}}, {}, "config.budgets.cost"),
    ],
)
def test_what_is_wrong_is_named(definition: dict[str, Any], deployment: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigWrong) as wrong:
        read_config(definition, deployment)

    assert named in str(wrong.value)
