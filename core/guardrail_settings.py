"""
What is looked at before and after an answer, and what each guardrail's own failure means.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

GuardrailName = Literal["length_in", "language", "abuse", "topics", "pii_in", "pii_out"]
PersonalData = Literal["card", "iban", "national_id", "email", "phone"]


class RefusedTopic(BaseModel):
    """One topic that is not talked about; found by a word, or by its likeness to an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    words: tuple[Annotated[str, StringConstraints(min_length=2, max_length=100)], ...] = ()
    examples: tuple[Annotated[str, StringConstraints(min_length=3, max_length=500)], ...] = ()
    likeness: float = Field(0.6, gt=0, lt=1)
    reply: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None


class GuardrailSettings(BaseModel):
    guard_message_characters: int = Field(
        16_000,
        ge=100,
        le=200_000,
        description="Longest text that is answered at once, where several messages are answered together.",
    )
    guard_reply_characters: int = Field(
        8_000, ge=200, le=100_000, description="Longest reply; sentences beyond it are not shown."
    )
    guard_languages: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")], ...] = Field(
        (),
        description='Languages that are served, as JSON of two-letter codes: `["en", "de"]`; who writes in another is told so. '
        "Empty: all.",
    )
    guard_abuse: bool = Field(
        True,
        description="Whether a message that is nothing but abuse gets a calm sentence and the offer of a person.",
    )
    guard_topics: tuple[RefusedTopic, ...] = Field(
        (),
        max_length=100,
        description='Topics that are not talked about, as JSON: `[{"name": …, "words"?: […], "examples"?: […], "likeness"?: 0.6, '
        '"reply"?: …}]`, in careline.toml `[[guard_topics]]` (docs/guardrails.md).',
    )
    guard_pii_in: tuple[PersonalData, ...] = Field(
        ("card", "national_id"),
        description="Personal data that neither a model nor a tool sees of what customers write: of `card`, `iban`, "
        "`national_id`, `email`, `phone`, as JSON.",
    )
    guard_pii_out: tuple[PersonalData, ...] = Field(
        ("card", "national_id"), description="Personal data that no reply shows, as JSON."
    )
    guard_fail_closed: tuple[GuardrailName, ...] = Field(
        ("pii_in", "pii_out"),
        description="Guardrails that let nothing pass where they themselves fail, of `length_in`, `language`, `abuse`, `topics`, "
        "`pii_in`, `pii_out`, as JSON; the others let everything pass then.",
    )
