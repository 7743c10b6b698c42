"""
The message brokers that taskiq speaks to, made from `CARELINE_BROKER_URL`: Redis streams, RabbitMQ, NATS JetStream.

They carry announcements, no work: every limit here may lose a message, since the outbox is asked anyway.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.errors import InvalidInput

if TYPE_CHECKING:
    from taskiq import AsyncBroker

_NAME = "careline_outbox"
_MOST_WAITING = 10_000
_BLOCK_MILLISECONDS = 1000
_SOCKET_SECONDS = 5.0
_FETCH_SECONDS = 5.0
_KEPT_SECONDS = 3600.0
_PREFETCHED = 10


class BrokerNotInstalled(InvalidInput):
    next_step = "pip install 'careline[broker]', or leave CARELINE_BROKER_URL out."


def make_broker(url: str, *, lease_seconds: float) -> "AsyncBroker":
    """
    Connects to nothing yet. A message that is not acknowledged within `lease_seconds` is given to another worker: as long as the
    outbox leaves an item to one.

    Raises:
        BrokerNotInstalled: the extra `broker` is not.
    """
    try:
        match urlsplit(url).scheme:
            case "redis" | "rediss":
                return _redis(url, lease_seconds)
            case "amqp" | "amqps":
                return _rabbitmq(url)
            case _:
                return _nats(url, lease_seconds)
    except ModuleNotFoundError as missing:
        raise BrokerNotInstalled(
            f"CARELINE_BROKER_URL needs {missing.name}, which is not installed"
        ) from missing


def _redis(url: str, lease_seconds: float) -> "AsyncBroker":
    from agent.workers.redis_streams import RedisStreams

    return RedisStreams(
        url,
        queue_name=_NAME,
        consumer_group_name=_NAME,
        consumer_id="0",  # also what was announced before the first worker came
        xread_block=_BLOCK_MILLISECONDS,
        xread_count=_PREFETCHED,
        maxlen=_MOST_WAITING,
        idle_timeout=int(lease_seconds * 1000),
        socket_timeout=_SOCKET_SECONDS,
        socket_connect_timeout=_SOCKET_SECONDS,
    )


def _rabbitmq(url: str) -> "AsyncBroker":
    from pamqp.common import FieldTable
    from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

    # Dropped at the head when it is full; RabbitMQ gives a dead worker's messages to another at once.
    limits: FieldTable = {"x-max-length": _MOST_WAITING, "x-message-ttl": int(_KEPT_SECONDS * 1000)}
    return AioPikaBroker(
        url,
        qos=_PREFETCHED,
        exchange=Exchange(name=_NAME),
        task_queues=[Queue(name=_NAME, arguments=limits)],
        dead_letter_queue=Queue(name=f"{_NAME}_dead", arguments=limits),
    )


def _nats(url: str, lease_seconds: float) -> "AsyncBroker":
    from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig
    from taskiq_nats import PullBasedJetStreamBroker

    return PullBasedJetStreamBroker(
        url,
        subject=_NAME,
        stream_name=_NAME,
        durable=_NAME,
        stream_config=StreamConfig(
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.OLD,
            max_msgs=_MOST_WAITING,
            max_age=_KEPT_SECONDS,
        ),
        consumer_config=ConsumerConfig(durable_name=_NAME, ack_wait=lease_seconds),
        pull_consume_batch=1,
        pull_consume_timeout=_FETCH_SECONDS,
    )
