"""
The plans of tool calls with effects, one row per key, inside a transaction that somebody else holds.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import DataIntegrityFailed
from state.codec import decode, encode
from state.sql.tables import effects
from state.sql.types import insert
from state.store import EffectRecord


async def begin_effect(connection: AsyncConnection, *, effect: EffectRecord) -> EffectRecord:
    """Two replicas that plan the same effect get the plan of the first."""
    await connection.execute(insert(connection, effects).values(**_columns(effect)).on_conflict_do_nothing())
    stored = await stored_effect(connection, tenant=effect.tenant, key=effect.key)
    if stored is None:
        raise DataIntegrityFailed(f"effect {effect.key} was written and is not there")
    return stored


async def stored_effect(connection: AsyncConnection, *, tenant: str, key: str) -> EffectRecord | None:
    query = sa.select(effects.c.record).where(effects.c.tenant == tenant, effects.c.key == key)
    record = (await connection.execute(query)).scalar_one_or_none()
    return None if record is None else decode(record, EffectRecord)


async def finish_effect(connection: AsyncConnection, *, effect: EffectRecord) -> None:
    """Also where the plan is still in the journal: what is known of an effect counts for more than its plan."""
    columns = _columns(effect)
    await connection.execute(
        insert(connection, effects)
        .values(**columns)
        .on_conflict_do_update(index_elements=[effects.c.tenant, effects.c.key], set_=columns)
    )


async def absorb_effect(connection: AsyncConnection, effect: EffectRecord) -> int:
    """From the journal. A plan never overwrites a fate that is known, and what is confirmed stays so."""
    if effect.status != "intent":
        if await effect_status(connection, tenant=effect.tenant, key=effect.key) == "confirmed":
            return 0
        await finish_effect(connection, effect=effect)
        return 1
    inserted = await connection.execute(
        insert(connection, effects).values(**_columns(effect)).on_conflict_do_nothing()
    )
    return int(inserted.rowcount)


async def effect_status(connection: AsyncConnection, *, tenant: str, key: str) -> str | None:
    query = sa.select(effects.c.status).where(effects.c.tenant == tenant, effects.c.key == key)
    return (await connection.execute(query)).scalar_one_or_none()


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
