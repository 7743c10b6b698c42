"""
What Careline calls over the network besides its databases: Redis, the model server, mail, keys, the message broker.
"""

from contextlib import suppress

from agent.doctor.findings import Finding, broken, ok, warn
from agent.workers.broker import can_be_reached
from agent.workers.brokers import BrokerNotInstalled, make_broker
from core.clock import SystemClock
from core.errors import CarelineError, DependencyRefusedUs
from core.http import make_client
from core.settings import Settings
from state.redis.client import open_redis
from state.redis.copy import RedisStateCopy
from state.redis.durability import RedisDurability
from state.redis.journal_store import JOURNAL_TAG
from tools.adapters.smtp import SmtpChannel, SmtpServer

_REACH_SECONDS = 1.5


async def check_redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return ok("redis", "not set up: SQL serves alone, and messages are refused while SQL is away")
    client = open_redis(settings.redis_url, timeout_seconds=_REACH_SECONDS, connections=4)
    try:
        copy = RedisStateCopy(client, timeout_seconds=_REACH_SECONDS, lease_seconds=settings.lease_seconds)
        await copy.ping()
        durability = RedisDurability(
            client,
            tag=JOURNAL_TAG,
            timeout_seconds=settings.redis_timeout_seconds,
            clock=SystemClock(),
            is_vouched_for=settings.redis_durability == "trusted",
        )
        if await durability.is_given():
            return ok("redis", f"reached; keeps messages while SQL is away ({durability.promise.value})")
        return warn(
            "redis",
            "reached; may lose what it acknowledged, so it cannot stand in for SQL",
            "Set maxmemory-policy noeviction, appendonly yes and appendfsync always; or what docs/operations.md, Redis, names.",
        )
    except DependencyRefusedUs as exc:
        return broken("redis", str(exc), "Check user and password in CARELINE_REDIS_URL.")
    except CarelineError as exc:
        return broken("redis", str(exc), _what_redis_needs(str(exc), settings.redis_url))
    finally:
        with suppress(Exception):
            await client.aclose()


def _what_redis_needs(said: str, url: str) -> str:
    if "DB index is out of range" in said:
        return "Correct the database's number at the end of CARELINE_REDIS_URL: this server has fewer."
    if "luster mode is not enabled" in said or "luster support disabled" in said:
        return "It is no cluster: begin CARELINE_REDIS_URL with redis:// (or rediss://)."
    if "no Sentinel names a master" in said:
        return "Check that Sentinels listen at the hosts of CARELINE_REDIS_URL, and the service's name behind them."
    if url.startswith("rediss"):
        return "Start Redis, or correct host and port in CARELINE_REDIS_URL; a server without TLS wants redis://."
    return "Start Redis, or correct host and port in CARELINE_REDIS_URL."


async def check_mail(settings: Settings) -> Finding:
    if settings.smtp_url is None:
        return ok("smtp", "not set up: notifications are written to the log")
    try:
        channel = SmtpChannel(
            SmtpServer.parse(settings.smtp_url.get_secret_value()),
            sender=settings.smtp_sender,
            step_seconds=_REACH_SECONDS,
        )
        await channel.probe()
    except DependencyRefusedUs as exc:
        return broken("smtp", str(exc), "Check user and password in CARELINE_SMTP_URL.")
    except CarelineError as exc:
        return broken(
            "smtp", str(exc), "Start the mail server, or correct CARELINE_SMTP_URL and CARELINE_SMTP_SENDER."
        )
    return ok("smtp", "reached, and it lets us in")


async def check_keys(settings: Settings) -> Finding:
    if settings.identity_jwks_url is None:
        return ok("identity", "no key server set up")
    step = "Check that CARELINE_IDENTITY_JWKS_URL names the company's published keys (a JSON object with a list `keys`)."
    try:
        async with make_client(
            "identity",
            base_url=settings.identity_jwks_url,
            timeout_seconds=_REACH_SECONDS,
            connect_seconds=_REACH_SECONDS,
        ) as client:
            answer = await client.get("")
            keys = answer.json()["keys"]
    except Exception as exc:  # whatever the server answers with, the next step is the same
        return broken("identity", f"the keys cannot be read ({type(exc).__name__})", step)
    if not keys:
        return broken("identity", "the list of keys is empty: no customer can be recognised", step)
    return ok("identity", f"{len(keys)} keys")


async def check_broker(settings: Settings) -> Finding:
    if settings.broker_url is None:
        return ok("broker", "not set up: workers look for themselves")
    try:
        url, lease_seconds = settings.broker_url.get_secret_value(), settings.outbox_lease_seconds
        broker = make_broker(url, lease_seconds=lease_seconds)
        await can_be_reached(broker, seconds=_REACH_SECONDS)
    except BrokerNotInstalled as exc:
        return broken("broker", str(exc), exc.next_step)
    except Exception as exc:  # each driver has a family of its own, and its text may hold the password
        return warn(
            "broker",
            f"cannot be reached ({type(exc).__name__}); workers find what is due by looking",
            "Start the broker, or correct CARELINE_BROKER_URL (host, port, user, password; NATS with JetStream).",
        )
    return ok("broker", "reached")
