"""The guardrails that the settings ask for, around a brain."""

from agent.brain.base import Brain
from agent.brain.guardrails.abuse import AbuseGuardrail
from agent.brain.guardrails.base import Fails, Guardrail, GuardrailMetrics
from agent.brain.guardrails.guarded import GuardedBrain
from agent.brain.guardrails.language import LanguageGuardrail
from agent.brain.guardrails.limits import LengthGuardrail
from agent.brain.guardrails.pii import PiiGuardrail
from agent.brain.guardrails.topics import Topic, TopicGuardrail
from core.guardrail_settings import GuardrailName
from core.settings import Settings
from tools.knowledge.embed import Embedder


def guarded(
    brain: Brain, settings: Settings, *, embedder: Embedder | None, metrics: GuardrailMetrics
) -> Brain:
    def fails(name: GuardrailName) -> Fails:
        return Fails.CLOSED if name in settings.guard_fail_closed else Fails.OPEN

    before: list[Guardrail] = [LengthGuardrail(settings.guard_message_characters, fails=fails("length_in"))]
    if settings.guard_languages:
        before.append(LanguageGuardrail(settings.guard_languages, fails=fails("language")))
    if settings.guard_abuse:
        before.append(AbuseGuardrail(fails=fails("abuse")))
    if settings.guard_topics:
        topics = [Topic(**topic.model_dump()) for topic in settings.guard_topics]
        before.append(TopicGuardrail(topics, embedder, fails=fails("topics")))
    masks = [PiiGuardrail(settings.guard_pii_in, name="pii_in", fails=fails("pii_in"))]
    after = [PiiGuardrail(settings.guard_pii_out, name="pii_out", fails=fails("pii_out"))]
    return GuardedBrain(
        brain,
        masks=masks if settings.guard_pii_in else (),
        before=before,
        after=after if settings.guard_pii_out else (),
        reply_characters=settings.guard_reply_characters,
        metrics=metrics,
    )
