"""
The composition root: the one place that knows which class does what, and in which order things open and close.
"""

from agent.bootstrap.commands import (
    accept_sql,
    allow_address,
    explained_turn,
    migrate_all,
    migrate_once,
    open_handoff_desk,
    open_history,
    open_outbox_desk,
)
from agent.bootstrap.flows import check_flows
from agent.bootstrap.intents import evaluate_intents, train_intents
from agent.bootstrap.knowledge import knowledge_gaps, open_searching
from agent.bootstrap.library import Wanted, find_passages, open_ingestion, open_versions
from agent.bootstrap.replays import (
    can_be_virtual,
    can_have_redis,
    dependencies_of,
    keep_articles,
    replay_shard,
)
from agent.bootstrap.service import Careline, open_careline

__all__ = [
    "Careline",
    "Wanted",
    "accept_sql",
    "allow_address",
    "can_be_virtual",
    "can_have_redis",
    "check_flows",
    "dependencies_of",
    "evaluate_intents",
    "explained_turn",
    "find_passages",
    "keep_articles",
    "knowledge_gaps",
    "migrate_all",
    "migrate_once",
    "open_careline",
    "open_handoff_desk",
    "open_history",
    "open_ingestion",
    "open_outbox_desk",
    "open_searching",
    "open_versions",
    "replay_shard",
    "train_intents",
]
