"""
Hear announcements from a Redis stream, and take over those that another worker has left unacknowledged.

In the place of taskiq-redis's own listener (1.2.4), which takes over only when something new comes, needs a Redis that runs
scripts, and leaves a connection with its pipeline when it is broken off on the way. XAUTOCLAIM is atomic: it needs no lock.
"""

from collections.abc import AsyncGenerator
from typing import Any

from redis.asyncio import Redis
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker


class RedisStreams(RedisStreamBroker):
    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        unseen = "0-0"
        async with Redis(connection_pool=self.connection_pool) as client:
            while True:
                fetched: Any = await client.xreadgroup(
                    self.consumer_group_name,
                    self.consumer_name,
                    {self.queue_name: ">"},
                    block=self.block,
                    count=self.count,
                )
                for _, entries in fetched:
                    for entry_id, fields in entries:
                        yield self._message(entry_id, fields)
                unseen, left, *_ = await client.xautoclaim(
                    self.queue_name,
                    self.consumer_group_name,
                    self.consumer_name,
                    self.idle_timeout,
                    start_id=unseen,
                    count=self.unacknowledged_batch_size,
                )
                for entry_id, fields in left:
                    if fields:  # None for what the stream has dropped since, in Redis 6.2
                        yield self._message(entry_id, fields)

    def _message(self, entry_id: str, fields: dict[bytes, bytes]) -> AckableMessage:
        return AckableMessage(data=fields[b"data"], ack=self._ack_generator(entry_id, self.queue_name))
