"""
What one turn may spend on its language model: answers, tool calls, tokens, money; and how it says that it had to stop.

Counts what the server reports, else four characters for a token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.brain.base import Spent
from agent.models.base import ModelFinished, ModelMessage
from core.languages import in_language

_CHARACTERS_A_TOKEN = 4
_TOKENS_A_MESSAGE = 4
_LEAST_ANSWER = 32
"""An answer of fewer tokens says nothing."""
_MILLION = 1_000_000

_STOPPED: Mapping[str, str] = {
    "en": "I had to stop here before I was done with this.",
    "de": "Ich musste hier aufhören, bevor ich damit fertig war.",
    "es": "He tenido que parar aquí antes de terminar con esto.",
    "fr": "J'ai dû m'arrêter ici avant d'avoir terminé.",
    "ar": "اضطررت إلى التوقف هنا قبل أن أنتهي من هذا.",
}


def stopped_short(locale: str) -> str:
    return in_language(_STOPPED, locale)


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens."""

    input: float = 0.0
    output: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """`prices` by the model's name. None lifts a limit."""

    answers: int = 6
    calls: int = 8
    tokens: int | None = None
    cost: float | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)

    @property
    def counts_tokens(self) -> bool:
        return self.tokens is not None or self.cost is not None


class TurnBudget:
    """`model` is who is expected to answer: what an answer will cost is not known before."""

    def __init__(self, policy: BudgetPolicy, model: str) -> None:
        self._policy = policy
        self._model = model
        self._answers = 0
        self._read = 0
        self._written = 0
        self._cost = 0.0
        self._is_reported = True
        self.is_reached = False
        """Whether something was left undone for it."""

    @property
    def spent(self) -> Spent:
        return Spent(
            answers=self._answers,
            prompt_tokens=self._read,
            completion_tokens=self._written,
            cost=self._cost,
            is_reported=self._is_reported,
        )

    def most_tokens(self, messages: Sequence[ModelMessage]) -> int | None:
        """How long the next answer may be; 0 where it may not be asked for, None where nothing limits it."""
        policy = self._policy
        if not policy.counts_tokens:
            return None
        prompt = tokens_of(messages)
        left: list[float] = []
        if policy.tokens is not None:
            left.append(policy.tokens - self._read - self._written - prompt)
        price = policy.prices.get(self._model, Price())
        if policy.cost is not None and price.output:
            money = policy.cost - self._cost - prompt * price.input / _MILLION
            left.append(money * _MILLION / price.output)
        most = int(min(left)) if left else None
        if most is not None and most < _LEAST_ANSWER:
            self.is_reached = True
            return 0
        return most

    def note(self, finished: ModelFinished, messages: Sequence[ModelMessage], characters: int) -> None:
        """One answer that came, of so many characters."""
        self._answers += 1
        self._is_reported &= finished.prompt_tokens is not None and finished.completion_tokens is not None
        written = finished.completion_tokens
        if written is None:
            written = (
                characters + sum(len(call.arguments) for call in finished.tool_calls)
            ) // _CHARACTERS_A_TOKEN
        read = finished.prompt_tokens if finished.prompt_tokens is not None else tokens_of(messages)
        self._read += read
        self._written += written
        price = self._policy.prices.get(finished.model or self._model, Price())
        self._cost += (read * price.input + written * price.output) / _MILLION
        if self._policy.counts_tokens and finished.reason == "length":
            self.is_reached = True


def tokens_of(messages: Sequence[ModelMessage]) -> int:
    """About as many, for what no server has counted."""
    return sum(
        _TOKENS_A_MESSAGE
        + (len(message.content) + sum(len(call.arguments) for call in message.tool_calls))
        // _CHARACTERS_A_TOKEN
        for message in messages
    )
