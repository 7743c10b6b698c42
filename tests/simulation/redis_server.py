"""
A small Redis for the simulation: a few data types, real Lua scripts, transactions; and redis-py's client, sending to it.

Everything above the wire is real: `state.redis.copy`, `state.redis.journal`, their scripts, redis-py's commands and replies.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

# lupa comes with fakeredis and has no types. Of its Luas this one is fakeredis', which no other in its process survives.
from lupa.lua51 import LuaRuntime  # type: ignore[import-untyped]
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from core.errors import DependencyTimeout, DependencyUnavailable
from tests.simulation.network import Link

Reply = Any
CommandStack = list[tuple[tuple[Any, ...], Mapping[str, Any]]]

_EPOCH_SECONDS = 1_790_000_000


class TinyRedis:
    """Keys and commands, each command at once. `now` is this server's clock in seconds."""

    _scripts: ClassVar[dict[str, Any]] = {}
    """Compiled once per Python process, by SHA-1."""
    _lua: ClassVar[LuaRuntime | None] = None
    _asked: ClassVar["TinyRedis | None"] = None

    def __init__(self, *, now: Callable[[], float], is_durable: bool = True) -> None:
        self.keys: dict[bytes, Any] = {}
        self._expires: dict[bytes, float] = {}
        self._now = now
        self.is_durable = is_durable
        self._known: set[str] = set()

    def restart(self) -> None:
        """Scripts are forgotten, and without a durable file everything else."""
        self._known.clear()
        if not self.is_durable:
            self.forget_all()

    def forget_all(self) -> None:
        self.keys.clear()
        self._expires.clear()

    def run(self, *command: Any) -> Reply:
        name = str(command[0]).upper()
        handler = getattr(self, "do_" + name.lower().replace(" ", "_"), None)
        if handler is None:
            raise NotImplementedError(f"the simulated Redis has no {name}")
        return handler(*[_bytes(part) for part in command[1:]])

    # -- keys --------------------------------------------------------------------------------------------------------

    def _get(self, place: bytes, kind: type) -> Any:
        until = self._expires.get(place)
        if until is not None and until <= self._now():
            self.do_del(place)
        value = self.keys.get(place)
        if value is not None and not isinstance(value, kind):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _made(self, place: bytes, kind: type) -> Any:
        value = self._get(place, kind)
        if value is None:
            value = self.keys[place] = kind()
        return value

    def _drop_if_empty(self, place: bytes) -> None:
        if not self.keys.get(place):
            self.do_del(place)

    def do_del(self, *places: bytes) -> int:
        found = 0
        for place in places:
            found += self.keys.pop(place, None) is not None
            self._expires.pop(place, None)
        return found

    do_unlink = do_del

    def do_exists(self, *places: bytes) -> int:
        return sum(self._get(place, object) is not None for place in places)

    def do_expire(self, place: bytes, seconds: bytes) -> int:
        if self._get(place, object) is None:
            return 0
        self._expires[place] = self._now() + float(seconds)
        return 1

    def do_pexpire(self, place: bytes, milliseconds: bytes) -> int:
        return self.do_expire(place, str(float(milliseconds) / 1000).encode())

    def do_pttl(self, place: bytes) -> int:
        if self._get(place, object) is None:
            return -2
        until = self._expires.get(place)
        return -1 if until is None else int((until - self._now()) * 1000)

    # -- strings -----------------------------------------------------------------------------------------------------

    def do_get(self, place: bytes) -> bytes | None:
        value: bytes | None = self._get(place, bytes)
        return value

    def do_set(self, place: bytes, value: bytes, *options: bytes) -> bytes | None:
        named = [option.upper() for option in options]
        if b"NX" in named and self._get(place, object) is not None:
            return None
        self.keys[place] = value
        self._expires.pop(place, None)
        for unit, share in ((b"EX", 1.0), (b"PX", 0.001)):
            if unit in named:
                self._expires[place] = self._now() + float(options[named.index(unit) + 1]) * share
        return b"OK"

    def do_incr(self, place: bytes) -> int:
        number = int(self._get(place, bytes) or 0) + 1
        self.keys[place] = str(number).encode()
        return number

    # -- hashes ------------------------------------------------------------------------------------------------------

    def do_hget(self, place: bytes, field: bytes) -> bytes | None:
        return (self._get(place, dict) or {}).get(field)

    def do_hmget(self, place: bytes, *fields: bytes) -> list[bytes | None]:
        return [self.do_hget(place, field) for field in fields]

    def do_hgetall(self, place: bytes) -> dict[bytes, bytes]:
        return dict(self._get(place, dict) or {})

    def do_hvals(self, place: bytes) -> list[bytes]:
        return list((self._get(place, dict) or {}).values())

    def do_hset(self, place: bytes, *pairs: bytes) -> int:
        fields = self._made(place, dict)
        before = len(fields)
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(fields) - before

    def do_hdel(self, place: bytes, *names: bytes) -> int:
        fields = self._get(place, dict) or {}
        found = sum(fields.pop(name, None) is not None for name in names)
        self._drop_if_empty(place)
        return found

    def do_hexists(self, place: bytes, field: bytes) -> int:
        return int(field in (self._get(place, dict) or {}))

    # -- lists -------------------------------------------------------------------------------------------------------

    def do_rpush(self, place: bytes, *values: bytes) -> int:
        self._made(place, list).extend(values)
        return len(self.keys[place])

    def do_llen(self, place: bytes) -> int:
        return len(self._get(place, list) or ())

    def do_lindex(self, place: bytes, index: bytes) -> bytes | None:
        values = self._get(place, list) or []
        at = int(index)
        return values[at] if -len(values) <= at < len(values) else None

    def do_lrange(self, place: bytes, first: bytes, last: bytes) -> list[bytes]:
        values = self._get(place, list) or []
        return list(values[_span(first, last, len(values))])

    def do_ltrim(self, place: bytes, first: bytes, last: bytes) -> bytes:
        values = self._get(place, list)
        if values is not None:
            values[:] = values[_span(first, last, len(values))]
            self._drop_if_empty(place)
        return b"OK"

    # -- sets --------------------------------------------------------------------------------------------------------

    def do_sadd(self, place: bytes, *members: bytes) -> int:
        stored = self._made(place, set)
        before = len(stored)
        stored.update(members)
        return len(stored) - before

    def do_srem(self, place: bytes, *members: bytes) -> int:
        stored = self._get(place, set) or set()
        before = len(stored)
        stored.difference_update(members)
        self._drop_if_empty(place)
        return before - len(stored)

    def do_smembers(self, place: bytes) -> set[bytes]:
        return set(self._get(place, set) or ())

    def do_sismember(self, place: bytes, member: bytes) -> int:
        return int(member in (self._get(place, set) or ()))

    def do_scard(self, place: bytes) -> int:
        return len(self._get(place, set) or ())

    # -- the server --------------------------------------------------------------------------------------------------

    def do_ping(self) -> bytes:
        return b"PONG"

    def do_time(self) -> list[bytes]:
        seconds, rest = divmod(int((_EPOCH_SECONDS + self._now()) * 1_000_000), 1_000_000)
        return [str(seconds).encode(), str(rest).encode()]

    def do_config_get(self, *_: bytes) -> dict[bytes, bytes]:
        return {
            b"appendonly": b"yes",
            b"appendfsync": b"always" if self.is_durable else b"everysec",
            b"maxmemory": b"0",
            b"maxmemory-policy": b"noeviction",
        }

    def do_script_load(self, script: bytes) -> bytes:
        sha = hashlib.sha1(script, usedforsecurity=False).hexdigest()
        if sha not in TinyRedis._scripts:
            TinyRedis._scripts[sha] = _compiled(script)
        self._known.add(sha)
        return sha.encode()

    def do_evalsha(self, sha: bytes, count: bytes, *rest: bytes) -> Reply:
        function = TinyRedis._scripts.get(sha.decode())
        if function is None or sha.decode() not in self._known:
            raise NoScriptError("NOSCRIPT No matching script.")
        split = int(count)
        lua = _runtime()
        TinyRedis._asked = self
        return _from_lua(function(lua.table_from(rest[:split]), lua.table_from(rest[split:])))

    def do_eval(self, script: bytes, *rest: bytes) -> Reply:
        return self.do_evalsha(self.do_script_load(script), *rest)


def _runtime() -> LuaRuntime:
    if TinyRedis._lua is None:
        lua = LuaRuntime(encoding=None, unpack_returned_tuples=False)

        def call(name: bytes, *args: Any) -> Any:
            assert TinyRedis._asked is not None
            return _to_lua(TinyRedis._asked.run(name.decode(), *(_number(arg) for arg in args)))

        lua.execute(b"redis = {}")
        lua.globals().redis[b"call"] = call
        TinyRedis._lua = lua
    return TinyRedis._lua


def _compiled(script: bytes) -> Any:
    return _runtime().execute(b"return function(KEYS, ARGV)\n" + script + b"\nend")


def _number(arg: Any) -> Any:
    """Lua writes whole numbers without a fraction."""
    return int(arg) if isinstance(arg, float) and arg.is_integer() else arg


def _to_lua(reply: Reply) -> Any:
    if reply is None:
        return False
    if isinstance(reply, dict):
        reply = [part for pair in reply.items() for part in pair]
    if isinstance(reply, set):
        reply = sorted(reply)
    if isinstance(reply, list):
        return _runtime().table_from([_to_lua(part) for part in reply])
    return reply


def _from_lua(reply: Any) -> Reply:
    if reply is None or reply is False:
        return None
    if reply is True:
        return 1
    if isinstance(reply, float):
        return int(reply)
    if isinstance(reply, (bytes, int)):
        return reply
    return [_from_lua(reply[n]) for n in range(1, len(reply) + 1)]


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")


def _span(first: bytes, last: bytes, length: int) -> slice:
    begin, end = int(first), int(last)
    begin = max(0, begin + length) if begin < 0 else begin
    end = end + length if end < 0 else end
    return slice(begin, end + 1) if end >= begin else slice(0, 0)


class SimulatedRedis(Redis):
    """redis-py's client whose commands go over a simulated link."""

    def over(self, link: Link, server: TinyRedis) -> "SimulatedRedis":
        self._link = link
        self._server = server
        return self

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        reply = await self._sent(_label(args), lambda: self._server.run(*args))
        return self.parsed(args, reply, options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "SimulatedPipeline":
        return SimulatedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint).of(
            self
        )

    async def together(self, stack: CommandStack, *, raise_on_error: bool) -> list[Any]:
        """All commands in one step of the server; a failing one does not undo those before it, as in Redis."""

        def run() -> list[Any]:
            replies = []
            for args, _ in stack:
                try:
                    replies.append(self._server.run(*args))
                except ResponseError as exc:
                    replies.append(exc)
            return replies

        replies = await self._sent("+".join(_label(args) for args, _ in stack), run)
        for reply in replies:
            if raise_on_error and isinstance(reply, ResponseError):
                raise reply
        return [
            reply if isinstance(reply, ResponseError) else self.parsed(args, reply, options)
            for (args, options), reply in zip(stack, replies, strict=True)
        ]

    def parsed(self, args: tuple[Any, ...], reply: Any, options: Mapping[str, Any]) -> Any:
        callback = self.response_callbacks.get(args[0])
        if callback is None:
            return reply
        return callback(reply, **{name: value for name, value in options.items() if name != "keys"})

    async def _sent(self, name: str, work: Callable[[], Any]) -> Any:
        try:
            return await self._link.call(name, work)
        except DependencyTimeout as exc:
            raise TimeoutError from exc
        except DependencyUnavailable as exc:
            raise RedisConnectionError(str(exc)) from exc


class SimulatedPipeline(Pipeline):
    def of(self, client: SimulatedRedis) -> "SimulatedPipeline":
        self._client = client
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, scripts = self.command_stack, self.scripts
        self.command_stack, self.scripts = [], set()
        load: CommandStack = [(("SCRIPT LOAD", script.script), {}) for script in scripts]
        if not stack:
            return []
        replies = await self._client.together([*load, *stack], raise_on_error=raise_on_error)
        return replies[len(load) :]


def _label(args: tuple[Any, ...]) -> str:
    return f"{args[0]} {str(args[1])[:6]}" if args[0] == "EVALSHA" else str(args[0])
