"""
The plans of tool calls with effects, one row per key, inside a transaction that somebody else holds.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import DataIntegrityFailed
from state.codec import decode, encode
from state.journal import counts_for_more
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


async def save_effect(connection: AsyncConnection, *, effect: EffectRecord) -> int:
    """1 when it was written, 0 where what is known counts for more, whoever of the two runs came first."""
    written = insert(connection, effects).values(**_columns(effect)).on_conflict_do_nothing()
    # Not by rowcount: PostgreSQL's driver does not tell it for an INSERT that SQLAlchemy has made.
    if (await connection.execute(written.returning(effects.c.key))).first() is not None:
        return 1
    place = (effects.c.tenant == effect.tenant, effects.c.key == effect.key)
    stored = (
        await connection.execute(sa.select(effects.c.record).where(*place).with_for_update())
    ).scalar_one()
    if not counts_for_more(effect, decode(stored, EffectRecord)):
        return 0
    await connection.execute(sa.update(effects).where(*place).values(**_columns(effect)))
    return 1


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
