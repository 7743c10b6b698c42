"""
Commands of different callers that wait at the same moment, sent to Redis together: most of what a trip costs is paid once.

What is asked while a pipeline is on its way goes with the next; a lone caller waits for nobody.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from core.resilience.timelimit import TimeLimit
from state.redis.clients import ServerClient

_GROUPS_AT_ONCE = 64
"""So that a long answer to one keeps the others waiting no longer than a moment."""

Command = tuple[Any, ...]
_Group = tuple[Sequence[Command], "asyncio.Future[list[Any]]"]


def evaluation(script: str, keys: Sequence[Any], arguments: Sequence[Any]) -> Command:
    """A script with its text: a server that has restarted knows no digests, and a cluster's pipeline takes none."""
    return ("EVAL", script, len(keys), *keys, *arguments)


class JoinedCommands:
    """
    One trip at a time, within `timeout_seconds`. A caller that goes away breaks nothing off: others may be on the same way.

    One connection of the client's pool is held from the first command on: redis-py's pipelines cost more than their trip, and so
    does the pool.
    In a cluster each caller has a pipeline of its own, which redis-py divides by node.
    """

    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._is_cluster = isinstance(client, RedisCluster)
        # A client without sockets, as in the simulation, is asked by its pipelines.
        self._ask = self._on_a_connection if isinstance(client, ServerClient) else self._in_a_pipeline
        self._waiting: deque[_Group] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._connection: Any = None

    async def send(self, *commands: Command) -> list[Any]:
        """
        The answers, in order; what is sent in one call is sent in one piece. Raises redis-py's errors: that of the first command
        that failed, the others being carried out all the same, or one for all of them where Redis could not be asked.
        """
        answers = await self.answers(*commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def answers(self, *commands: Command) -> list[Any]:
        """As `send`, with the failure of a single command in the place of its answer."""
        if self._is_cluster:
            return await self._in_a_pipeline(commands)
        answered: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answered))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_waiting())
        return await answered

    async def _send_waiting(self) -> None:
        groups: list[_Group] = []
        try:
            while groups := self._next_groups():
                await self._send_groups(groups)
        finally:
            # Only where this task was cancelled is anybody left to be told.
            self._sending = None
            for _, answered in (*groups, *self._waiting):
                answered.cancel()
            self._waiting.clear()

    def _next_groups(self) -> list[_Group]:
        groups: list[_Group] = []
        while self._waiting and len(groups) < _GROUPS_AT_ONCE:
            group = self._waiting.popleft()
            if not group[1].done():  # its caller has waited long enough
                groups.append(group)
        return groups

    async def _send_groups(self, groups: Sequence[_Group]) -> None:
        try:
            with TimeLimit(self._timeout_seconds):
                answers = await self._ask([command for commands, _ in groups for command in commands])
        except Exception as exc:  # each caller hears of it, and says what it means
            for _, answered in groups:
                if not answered.done():
                    answered.set_exception(exc)
            return
        first = 0
        for commands, answered in groups:
            if not answered.done():
                answered.set_result(answers[first : first + len(commands)])
            first += len(commands)

    async def _on_a_connection(self, commands: Sequence[Command]) -> list[Any]:
        packed = b"".join(map(hiredis.pack_command, commands))
        if self._connection is None:
            pool: Any = self._client.connection_pool
            self._connection = await pool.get_connection()
        connection = self._connection
        answers: list[Any] = []
        try:
            if connection.is_connected and await connection.can_read():
                # The server has closed it since; what is sent next opens it anew.
                await connection.disconnect(nowait=True)
            await connection.send_packed_command(packed)
            for command in commands:
                try:
                    answers.append(await self._client.parse_response(connection, command[0]))
                except ResponseError as exc:
                    answers.append(exc)
        except BaseException:
            # An answer that was not read would be taken for the next command's.
            await connection.disconnect(nowait=True)
            await self._let_go()
            raise
        if connection.should_reconnect():
            await self._let_go()
        return answers

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        await self._client.connection_pool.release(connection)

    async def _in_a_pipeline(self, commands: Sequence[Command]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers
