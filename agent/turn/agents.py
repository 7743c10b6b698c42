"""
Who answers a conversation: the agent of the settings, or one that was deployed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from agent.brain.base import Brain
from agent.turn.effects import ToolRunner
from core.explanation import note
from core.messages import AnsweringAgent
from state.store import ConversationRecord, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """`default_locale` is for customers whose words, request and record show no language; `named` None: the settings' own."""

    brain: Brain
    tools: ToolRunner
    default_locale: str
    named: AnsweringAgent | None = None

    @property
    def ids(self) -> Mapping[str, str]:
        """For the log."""
        if self.named is None:
            return {}
        return {
            "deployment_id": self.named.deployment_id,
            "definition": f"{self.named.slug}@{self.named.version}",
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """`kept` is to be kept with the conversation."""

    agent: Agent | None
    kept: str


class Agents(Protocol):
    """What is deployed, as last known. `agent.workers.serving` implements it; nobody is asked meanwhile."""

    def choose(self, conversation: ConversationRecord, *, kept: str | None) -> Choice | None:
        """
        None where nothing is deployed for the tenant: then the settings' own agent answers, and what was kept stays. `kept` is
        what was chosen before for this conversation.
        """
        ...


def agent_for(snapshot: Snapshot, agents: Agents | None, *, own: Agent) -> tuple[Agent, Snapshot]:
    """Who answers, and the snapshot in whose state that is kept; `own` where nobody is deployed."""
    kept = snapshot.state.deployment
    choice = agents.choose(snapshot.conversation, kept=kept) if agents is not None else None
    if choice is None:
        return own, snapshot
    agent = choice.agent or own
    note("agent", **agent.ids, chosen=choice.kept, before=kept)
    if choice.kept == kept:
        return agent, snapshot
    return agent, replace(snapshot, state=msgspec.structs.replace(snapshot.state, deployment=choice.kept))
