"""
Which language models are asked, in which order, and how much one turn may spend on them.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

ModelLibrary = Literal["own", "pydantic-ai"]


class FurtherModel(BaseModel):
    """One more model of the chain. What is left out is as for the first."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    library: ModelLibrary = "own"
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+")] | None = None
    key: SecretStr | None = None
    input_price: float = Field(0.0, ge=0)
    output_price: float = Field(0.0, ge=0)


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """One model of the chain; `guard` names its guard, `url` is None where a library speaks to it."""

    guard: str
    model: str
    library: ModelLibrary
    url: str | None
    key: SecretStr | None


class ModelSettings(BaseModel):
    model_url: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible server, e.g. `http://127.0.0.1:8080/v1`. None: embedded brain.",
    )
    model_library: ModelLibrary = Field(
        "own",
        description="Who speaks to the model: `own`, to an OpenAI-compatible server at `CARELINE_MODEL_URL`; `pydantic-ai`, the "
        "library of that name (extra `pydantic-ai`, and `pydantic-ai-slim[PROVIDER]`), with keys from the provider's variables.",
    )
    model: str | None = Field(
        None,
        description="Name of the model to ask for; for `pydantic-ai` as `PROVIDER:NAME`, like `anthropic:claude-opus-4-5`.",
    )
    model_key: SecretStr | None = Field(None, description="Key for the model server, sent as a bearer token.")
    model_answer_bytes: int = Field(
        32 * 1024 * 1024,
        ge=64 * 1024,
        description="The longest answer of the model server, as it is sent; a longer one is given up (`answer_too_large`).",
    )
    further_models: tuple[FurtherModel, ...] = Field(
        (),
        max_length=8,
        description="Models that are asked when those before them fail, in this order, each behind a breaker of its own: JSON "
        '`[{"model": …, "url"?: …, "key"?: …, "library"?: …, "input_price"?: …, "output_price"?: …}]`, in careline.toml '
        "`[[further_models]]`. Without `url`, the server and key of the first.",
    )
    model_input_price: float = Field(
        0.0, ge=0, description="What a million tokens that the model reads cost, in any currency."
    )
    model_output_price: float = Field(
        0.0, ge=0, description="What a million tokens that the model writes cost, in the same currency."
    )
    turn_model_answers: int = Field(
        6,
        ge=1,
        le=50,
        description="So often a model is asked in one turn; the last time it is offered no tools, so that it answers.",
    )
    turn_tool_calls: int = Field(8, ge=0, le=100, description="So many tools a model may call in one turn.")
    model_window_tokens: int = Field(
        6000,
        ge=500,
        le=1_000_000,
        description="So many tokens of a conversation's past a model reads as they were said, and at most seven tenths of "
        "`CARELINE_HISTORY_MESSAGES`; what came before it reads as a summary, which it writes itself and which is stored.",
    )
    turn_tokens: int | None = Field(
        None,
        ge=500,
        description="So many tokens a model may read and write in one turn; a turn that reaches that says so and offers a "
        "person. None: as many as the answers take.",
    )
    turn_cost: float | None = Field(
        None,
        gt=0,
        description="So much a turn may cost by `CARELINE_MODEL_INPUT_PRICE` and `CARELINE_MODEL_OUTPUT_PRICE`; then it ends in "
        "the same way.",
    )

    @property
    def has_model(self) -> bool:
        """Whether a language model answers; else the built-in brain does."""
        return self.model_url is not None or self.model_library == "pydantic-ai"

    @property
    def chosen_models(self) -> tuple[ChosenModel, ...]:
        """In the order in which they are asked; none where the built-in brain answers alone."""
        if not self.has_model:
            return ()
        url = self.model_url if self.model_library == "own" else None
        chain = [ChosenModel("model", self.model or "default", self.model_library, url, self.model_key)]
        for guard, each in zip(self.further_model_names, self.further_models, strict=True):
            at = (each.url or self.model_url) if each.library == "own" else None
            # Another server is never given the first one's key.
            key = each.key or (self.model_key if each.url is None and at is not None else None)
            chain.append(ChosenModel(guard, each.model, each.library, at, key))
        return tuple(chain)

    @property
    def further_model_names(self) -> tuple[str, ...]:
        """Of their guards: `model.2` is the second of the chain."""
        return tuple(f"model.{place}" for place in range(2, 2 + len(self.further_models)))

    @model_validator(mode="after")
    def _a_chain_has_a_first_model(self) -> Self:
        if self.model_library == "pydantic-ai" and self.model is None:
            raise ValueError("CARELINE_MODEL_LIBRARY is pydantic-ai, so CARELINE_MODEL must be PROVIDER:NAME")
        if self.further_models and not self.has_model:
            raise ValueError(
                "CARELINE_FURTHER_MODELS is set, but CARELINE_MODEL_URL is not: the first model is missing"
            )
        if self.model_url is None and any(
            each.library == "own" and each.url is None for each in self.further_models
        ):
            raise ValueError("CARELINE_FURTHER_MODELS: a model needs a url, as CARELINE_MODEL_URL is not set")
        if self.turn_cost is not None and not (self.model_input_price or self.model_output_price):
            raise ValueError(
                "CARELINE_TURN_COST needs CARELINE_MODEL_INPUT_PRICE and CARELINE_MODEL_OUTPUT_PRICE"
            )
        return self
