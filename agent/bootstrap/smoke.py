"""
One conversation with an agent that is to be deployed, through the turns that customers get, kept in a scratch database.

Its tools only read, and nothing is left of it; the knowledge that it searches and the model that it asks are the real ones.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.bootstrap.agents import AgentMaker
from agent.control.agent_config import DeploymentConfig, read_config
from agent.turn.effects import ToolRunner
from agent.turn.inputs import ChatRequest
from agent.turn.pipeline import TurnPipeline, TurnPolicy
from core.clock import Clock
from core.control_records import Deployment, ModelProvider
from core.errors import ToolMisconfigured
from core.explanation import Explanation
from core.identity import VISITOR_CUSTOMER_PREFIX, Caller, CallerKind
from core.ids import new_id
from core.languages import in_language
from core.messages import TurnResult, TurnStatus
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.resilience.policies import guard_policies
from core.settings import Settings
from core.telemetry.logging import StructuredErrorLogger, bound_ids, get_logger
from state.opening import migrate, open_state
from tools.handler import ToolErrorHandler
from tools.protocol import AnyTool
from tools.registry import ToolRegistry

_SAID: Mapping[str, str] = {
    "en": "Hello, what can you do for me?",
    "de": "Guten Tag, was können Sie für mich tun?",
    "es": "Hola, ¿qué puedes hacer por mí?",
    "fr": "Bonjour, que pouvez-vous faire pour moi ?",
}
_ENDS = frozenset({TurnStatus.ANSWERED, TurnStatus.NEEDS_CUSTOMER, TurnStatus.HANDED_OVER})
_GRACE_SECONDS = 2.0


class _Noted:
    """Implements `agent.turn.pipeline.Explanations` and `TurnMetrics`: what the turn did, for the reason that people read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.explanation: Explanation | None = None

    def begin(self) -> Explanation:
        self.explanation = Explanation(self._clock)
        return self.explanation

    def keep(self, tenant: str, turn_id: str, explanation: Explanation) -> None:
        self.explanation = explanation

    def turn_finished(self, result: TurnResult, *, seconds: float) -> None:
        """It is no customer's."""

    def facts_of(self, *kinds: str) -> Mapping[str, object] | None:
        steps = self.explanation.steps if self.explanation is not None else ()
        return next((step.facts for step in steps if step.kind in kinds), None)


class SmokeConversation:
    """Implements `agent.control.probes.Smoke`."""

    def __init__(
        self,
        settings: Settings,
        maker: AgentMaker,
        *,
        guards: Mapping[str, Guard],
        degradation: GracefulDegradationHandler,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._rng = rng
        self._settings = settings
        self._maker = maker
        self._guards = guards
        self._degradation = degradation
        self._clock = clock

    async def converse(
        self, tenant: str, deployment: Deployment, provider: ModelProvider | None
    ) -> str | None:
        if deployment.pinned is None:
            return "it holds no definition"
        config = read_config(deployment.pinned.config, deployment.config)
        async with AsyncExitStack() as stack:
            stack.enter_context(bound_ids(deployment_id=str(deployment.id), of="smoke conversation"))
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="careline-smoke-")))
            scratch = self._scratch(folder)
            await migrate(scratch)
            # Guards of its own: what becomes of a scratch database says nothing about the record.
            sql, redis = (
                Guard(name, guard_policies(scratch)[name], clock=self._clock, rng=self._rng)
                for name in ("sql", "redis")
            )
            records = await stack.enter_async_context(
                open_state(scratch, sql=sql, redis=redis, clock=self._clock, owner=new_id("smoke"))
            )

            def reading(tools: Iterable[AnyTool]) -> ToolRunner:
                return ToolErrorHandler(
                    ToolRegistry(tool for tool in tools if not tool.has_effect),
                    guards=self._guards,
                    ledger=records.conversations,
                    clock=self._clock,
                    errors=StructuredErrorLogger(get_logger("tools")),
                )

            try:
                made = await self._maker.make(deployment, provider, config, runner_of=reading)
            except ToolMisconfigured as exc:
                return str(exc)
            stack.push_async_callback(made.aclose)
            noted = _Noted(self._clock)
            turns = TurnPipeline(
                store=records.conversations,
                brain=made.agent.brain,
                tools=made.agent.tools,
                degradation=self._degradation,
                metrics=noted,
                policy=self._policy(made.agent.default_locale),
                clock=self._clock,
                explanations=noted,
            )
            stack.push_async_callback(turns.drain, 0.0)
            return _judged(await self._answer(turns, tenant, config), noted, has_model=provider is not None)

    async def _answer(self, turns: TurnPipeline, tenant: str, config: DeploymentConfig) -> TurnResult | None:
        caller = Caller(
            kind=CallerKind.VISITOR, tenant=tenant, customer_id=new_id(VISITOR_CUSTOMER_PREFIX.rstrip("_"))
        )
        message = in_language(_SAID, self._language(config.guardrails.languages, config.locale))
        submission = await turns.submit(ChatRequest(caller=caller, message=message, channel="smoke"))
        return submission.result or await turns.wait(
            tenant, submission.turn_id, seconds=self._settings.turn_deadline_seconds + _GRACE_SECONDS
        )

    def _language(self, served: Sequence[str] | None, locale: str | None) -> str:
        """One that its guardrails let pass."""
        return next(iter(served or self._settings.guard_languages), locale or self._settings.default_locale)

    def _policy(self, locale: str) -> TurnPolicy:
        settings = self._settings
        return TurnPolicy(
            deadline_seconds=settings.turn_deadline_seconds,
            lease_seconds=settings.lease_seconds,
            history_messages=settings.history_messages,
            handoff_timeout=timedelta(minutes=settings.handoff_timeout_minutes),
            default_locale=locale,
        )

    def _scratch(self, folder: Path) -> Settings:
        return self._settings.model_copy(
            update={
                "database_url": f"sqlite+aiosqlite:///{folder / 'smoke.db'}",
                "customers_database_url": None,
                "tickets_database_url": None,
                "customers_sql": None,
                "redis_url": None,
            }
        )


def _judged(result: TurnResult | None, noted: _Noted, *, has_model: bool) -> str | None:
    if result is None:
        return "there was no answer in time"
    broke = noted.facts_of("brain_failed", "deadline_passed")
    if broke is not None:
        return f"the agent failed: {broke.get('error', 'it took too long')}"
    if result.status not in _ENDS or result.reply is None or not result.reply.text.strip():
        return "the answer was empty"
    if has_model and result.model is None and noted.facts_of("guardrail") is None:
        why = noted.facts_of("fell_back", "model_passed_over") or {}
        said = ", ".join(str(value) for value in why.values() if value)
        return f"the model did not answer ({said or 'no reason is known'})"
    return None
