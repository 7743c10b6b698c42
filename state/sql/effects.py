"""
The plans of tool calls with effects, one row per key, inside a transaction that somebody else holds.
"""

import sqlalchemy as sa

from core.errors import DataIntegrityFailed
from state.codec import decode, encode
from state.sql.connection import Connection, Query
from state.sql.tables import effects
from state.sql.types import insert_or_ignore, insert_or_update
from state.store import EffectRecord

_PLAN = insert_or_ignore(effects)
_FINISH = insert_or_update(
    effects, effects.c.tenant, effects.c.key, over=("turn_id", "step", "tool", "status", "record")
)
_BY_KEY = Query(
    sa.select(effects.c.status, effects.c.record).where(
        effects.c.tenant == sa.bindparam("tenant_"), effects.c.key == sa.bindparam("key_")
    )
)


async def begin_effect(connection: Connection, *, effect: EffectRecord) -> EffectRecord:
    """Two replicas that plan the same effect get the plan of the first."""
    await connection.write(_PLAN, _columns(effect))
    stored = await stored_effect(connection, tenant=effect.tenant, key=effect.key)
    if stored is None:
        raise DataIntegrityFailed(f"effect {effect.key} was written and is not there")
    return stored


async def stored_effect(connection: Connection, *, tenant: str, key: str) -> EffectRecord | None:
    found = await connection.fetch(_BY_KEY, {"tenant_": tenant, "key_": key})
    return decode(found[0].record, EffectRecord) if found else None


async def finish_effect(connection: Connection, *, effect: EffectRecord) -> None:
    """Also where the plan is still in the journal: what is known of an effect counts for more than its plan."""
    await connection.write(_FINISH, _columns(effect))


async def absorb_effect(connection: Connection, effect: EffectRecord) -> int:
    """From the journal. A plan never overwrites a fate that is known, and what is confirmed stays so."""
    if effect.status != "intent":
        if await effect_status(connection, tenant=effect.tenant, key=effect.key) == "confirmed":
            return 0
        await finish_effect(connection, effect=effect)
        return 1
    return await connection.change(_PLAN, _columns(effect))


async def effect_status(connection: Connection, *, tenant: str, key: str) -> str | None:
    found = await connection.fetch(_BY_KEY, {"tenant_": tenant, "key_": key})
    return found[0].status if found else None


def _columns(effect: EffectRecord) -> dict[str, object]:
    return {
        "tenant": effect.tenant,
        "key": effect.key,
        "turn_id": effect.turn_id,
        "step": effect.step,
        "tool": effect.tool,
        "status": effect.status,
        "record": encode(effect),
    }
