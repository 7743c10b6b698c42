"""
The plans of tool calls with effects, one row per key, inside a transaction that somebody else holds.
"""

import sqlalchemy as sa

from core.errors import DataIntegrityFailed
from state.codec import decode, encode
from state.journal import counts_for_more
from state.sql.connection import Connection, Query
from state.sql.tables import effects
from state.sql.types import database_now, insert
from state.store import EffectRecord

_PLAN = Query(lambda dialect: insert(dialect, effects).values(at=database_now()).on_conflict_do_nothing())
_OF_KEY = sa.select(effects.c.status, effects.c.record).where(
    effects.c.tenant == sa.bindparam("tenant_"), effects.c.key == sa.bindparam("key_")
)
_BY_KEY = Query(_OF_KEY)
_LOCKED = Query(_OF_KEY.with_for_update())
_UPDATE = Query(
    sa.update(effects)
    .where(effects.c.tenant == sa.bindparam("tenant_"), effects.c.key == sa.bindparam("key_"))
    .values(at=database_now())
)
_CHANGING = ("turn_id", "step", "tool", "status", "record")


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


async def save_effect(connection: Connection, *, effect: EffectRecord) -> int:
    """1 when it was written, 0 where what is known counts for more, whoever of the two runs came first."""
    columns = _columns(effect)
    if await connection.change(_PLAN, columns):
        return 1
    place = {"tenant_": effect.tenant, "key_": effect.key}
    stored = (await connection.fetch(_LOCKED, place))[0]
    if not counts_for_more(effect, decode(stored.record, EffectRecord)):
        return 0
    await connection.write(_UPDATE, {**place, **{name: columns[name] for name in _CHANGING}})
    return 1


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
