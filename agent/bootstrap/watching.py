"""What the degradation handler knows of: each dependency, and how to ask whether it works."""

from collections.abc import Mapping

from core.errors import CarelineError, DependencyUnavailable
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from state.opening import OpenState
from state.sql.outbox import SqlOutbox
from tools.knowledge.embed import OpenableEmbedder
from tools.knowledge.embed_endpoint import EndpointEmbedder
from tools.knowledge.search import LocalKnowledge

_UNATTENDED_SECONDS = 120.0
"""Far longer than a worker looks away, or another needs to notice that one has died."""


def watch(
    degradation: GracefulDegradationHandler,
    guards: Mapping[str, Guard],
    records: OpenState,
    knowledge: LocalKnowledge,
    embedder: OpenableEmbedder | None,
    *,
    uses_vectors: bool,
    needs_workers: bool,
) -> None:
    """Tell the degradation handler what there is, and how to ask whether it works."""
    for name in ("sql", "knowledge", "tickets", "customers"):
        degradation.watch(guards[name])

    async def sql_serves() -> None:
        """Back in use too, not only back: what was journaled meanwhile comes first."""
        await records.database.ping()
        if records.conversations.is_sql_down:
            await records.conversations.drain()

    degradation.add_probe("sql", sql_serves)
    if needs_workers:
        _watch_workers(degradation, records.outbox)
    records.conversations.on_outage(lambda: degradation.mark_down("sql", "it left a call unanswered"))
    if records.probe_permits is not None:
        degradation.share_probes(records.probe_permits)
    copy, journal = records.copy, records.journal
    if copy is not None and journal is not None:

        async def redis_serves() -> None:
            await copy.ping()
            await journal.is_durable()

        degradation.watch(guards["redis"])
        degradation.add_probe("redis", redis_serves)
    if embedder is not None and uses_vectors:

        async def vectors_work() -> None:
            await embedder.open()
            await knowledge.check_vectors()

        degradation.add_probe("vectors", vectors_work, is_counted=isinstance(embedder, EndpointEmbedder))


def _watch_workers(degradation: GracefulDegradationHandler, outbox: SqlOutbox) -> None:
    """For a service that leaves what was promised to workers: whether there are any shows only where nobody takes it up."""

    async def somebody_works() -> None:
        try:
            waited = await outbox.unattended_seconds()
        except CarelineError:
            return  # SQL has a probe of its own
        if waited > _UNATTENDED_SECONDS:
            raise DependencyUnavailable(
                "workers",
                f"what was promised has been due for {waited / 60:.0f} minutes, and nobody works on it: run `careline worker`",
            )

    degradation.add_probe("workers", somebody_works)
