"""
What `config` of a definition and of a deployment may say, and the two read as one: the deployment's goes over the definition's.

What is left out is as the settings say. What is not declared here is wrong: a slip must not be taken for obeyed.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from core.errors import ToolMisconfigured
from core.guardrail_settings import GuardrailName, PersonalData

_Language = Annotated[str, Meta(pattern=r"^[a-z]{2}$")]
_Words = Annotated[str, Meta(min_length=2, max_length=100)]
_Example = Annotated[str, Meta(min_length=3, max_length=500)]
_AtLeastNothing = Annotated[float, Meta(ge=0)]
_PARTS = ("budgets", "guardrails")
"""Objects of which a deployment may change single fields."""


class _Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class RefusedTopic(_Declared, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=60)]
    words: tuple[_Words, ...] = ()
    examples: tuple[_Example, ...] = ()
    likeness: Annotated[float, Meta(gt=0, lt=1)] = 0.6
    reply: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None


class Budgets(_Declared, frozen=True, kw_only=True):
    """What one turn may spend on its model; prices are of a million tokens."""

    model_answers: Annotated[int, Meta(ge=1, le=50)] | None = None
    tool_calls: Annotated[int, Meta(ge=0, le=100)] | None = None
    tokens: Annotated[int, Meta(ge=500)] | None = None
    cost: Annotated[float, Meta(gt=0)] | None = None
    input_price: _AtLeastNothing | None = None
    output_price: _AtLeastNothing | None = None


class Guardrails(_Declared, frozen=True, kw_only=True):
    message_characters: Annotated[int, Meta(ge=100, le=200_000)] | None = None
    reply_characters: Annotated[int, Meta(ge=200, le=100_000)] | None = None
    languages: tuple[_Language, ...] | None = None
    abuse: bool | None = None
    topics: Annotated[tuple[RefusedTopic, ...], Meta(max_length=100)] | None = None
    pii_in: tuple[PersonalData, ...] | None = None
    pii_out: tuple[PersonalData, ...] | None = None
    fail_closed: tuple[GuardrailName, ...] | None = None


class DefinitionConfig(_Declared, frozen=True, kw_only=True):
    """`structured_output_schema` is for other clients of the plane: a chat's answers have no schema."""

    locale: Annotated[str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35)] | None = None
    budgets: Budgets = Budgets()
    guardrails: Guardrails = Guardrails()
    structured_output_schema: dict[str, Any] | None = None


class DeploymentConfig(DefinitionConfig, frozen=True, kw_only=True):
    """`traffic_share` is in percent of all conversations; `channels` None: every channel."""

    channels: (
        Annotated[frozenset[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1)] | None
    ) = None
    traffic_share: Annotated[float, Meta(ge=0, le=100)] = 100.0


C = TypeVar("C", bound=DefinitionConfig)


class ConfigWrong(ToolMisconfigured):
    """`whose` is the kind of resource that says it."""

    def __init__(self, whose: str, what: str) -> None:
        super().__init__(f"{whose}: {what}")
        self.whose = whose
        self.what = what


def read_config(definition: Mapping[str, Any], deployment: Mapping[str, Any]) -> DeploymentConfig:
    """
    Raises:
        ConfigWrong: its text names the field and what is wrong with it.
    """
    _read(definition, DefinitionConfig, "agent-definitions")
    _read(deployment, DeploymentConfig, "deployments")
    both = {**definition, **deployment}
    for part in _PARTS:
        both[part] = {**definition.get(part, {}), **deployment.get(part, {})}
    config = _read(both, DeploymentConfig, "deployments")
    budgets = config.budgets
    if budgets.cost is not None and not (budgets.input_price or budgets.output_price):
        raise ConfigWrong("deployments", "config.budgets.cost needs budgets.input_price and output_price")
    return config


def _read(config: Mapping[str, Any], kind: type[C], whose: str) -> C:
    try:
        return msgspec.convert(config, kind)
    except msgspec.ValidationError as exc:
        said, _, path = str(exc).partition(" - at `$")
        raise ConfigWrong(whose, f"config{path.rstrip('`')}: {said}") from exc
