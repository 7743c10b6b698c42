"""
Rows about what is read and written at once: streams that break off, replicas that leave with streams open, four senders together.
"""

import asyncio
import time
from contextlib import AsyncExitStack

from tests.chaos.clients import Clients
from tests.chaos.model import Model
from tests.chaos.proxy import Proxy
from tests.chaos.report import Run, quantile
from tests.chaos.streaming import Readers, open_session
from tests.chaos.traffic import judge
from tests.chaos.world import World, open_world

_AT_ONCE = 6
_PACE_SECONDS = 0.05
_LONGEST_ANSWER_BYTES = 6000
_DRAIN_SECONDS = 1.0
_SENDERS = 4


async def streams_cut(run: Run) -> None:
    async with AsyncExitStack() as stack:
        _, world = await _slow_world(run, stack)
        doors = [
            await stack.enter_async_context(Proxy(replica.port, chance=run.chance))
            for replica in world.replicas
        ]
        session = await stack.enter_async_context(open_session())
        readers = Readers([f"http://127.0.0.1:{door.port}" for door in doors], session, chance=run.chance)
        wanted = run.times(200, 12)
        number = 0
        while sum(door.cuts for door in doors) < wanted:
            for door in doors:  # each second connection or so is cut
                door.cut_at = [run.chance.randrange(1, _LONGEST_ANSWER_BYTES) for _ in range(_AT_ONCE)]
            await asyncio.gather(*(_ask(readers, number + place) for place in range(_AT_ONCE)))
            number += _AT_ONCE
        run.figures["streams cut"] = sum(door.cuts for door in doors)
        await judge(run, world, readers.sent)
        _report(run, readers)


async def rolling_sigterm(run: Run) -> None:
    async with AsyncExitStack() as stack:
        _, world = await _slow_world(run, stack)
        session = await stack.enter_async_context(open_session())
        readers = Readers(world.urls, session, chance=run.chance)
        is_over = False

        async def read(place: int) -> None:
            number = place
            while not is_over:
                await _ask(readers, number)
                number += _AT_ONCE

        reading = [asyncio.create_task(read(place)) for place in range(_AT_ONCE)]
        left, codes = [], []
        for number in range(run.times(20, 2)):
            await asyncio.sleep(run.chance.uniform(0.3, 1.2))
            replica = world.replicas[number % 2]
            began = time.monotonic()
            codes.append(await asyncio.to_thread(replica.terminate))
            left.append(time.monotonic() - began)
            await asyncio.to_thread(replica.start)
        is_over = True
        await asyncio.gather(*reading)
        await judge(run, world, readers.sent)
        _report(run, readers)
        run.at_most("exit code other than 0", sum(code != 0 for code in codes), 0)
        run.at_most("slowest end", max(left), _DRAIN_SECONDS + 1, " s")


async def senders_together(run: Run) -> None:
    async with AsyncExitStack() as stack:
        model, world = await _slow_world(run, stack)
        model.pace_seconds = 0.01
        clients = await stack.enter_async_context(Clients(world.urls, chance=run.chance))
        first = clients.new("s0", 0, "Hello, what can you do?", None)
        await clients.deliver(first, home=0, customer_id="c-all")
        each = run.times(50, 15)

        async def send(sender: int) -> None:
            waiting = []
            for order in range(each):
                sent = clients.new(f"s{sender}", order, f"I am {order}.", first.conversation_id)
                waiting.append(
                    asyncio.create_task(clients.deliver(sent, home=sender + order, customer_id="c-all"))
                )
                while sent.acknowledged_at is None:  # noqa: ASYNC110 - the clients tell nobody
                    await asyncio.sleep(0.005)
            await asyncio.gather(*waiting)

        await asyncio.gather(*(send(sender) for sender in range(1, _SENDERS + 1)))
        await judge(run, world, clients.sent)
        stored = await world.stored()
        kept = sum(message.role == "customer" for message in stored.messages) - 1
        run.figures["turns"] = len(stored.turns)
        run.at_least("messages kept", kept, _SENDERS * each)
        run.at_most("turns at a time", model.most_at_once, 1)


async def _slow_world(run: Run, stack: AsyncExitStack) -> tuple[Model, World]:
    model = await stack.enter_async_context(Model(pace_seconds=_PACE_SECONDS))
    settings = {"model_url": model.url, "model": "slow", "drain_seconds": str(_DRAIN_SECONDS)}
    return model, await stack.enter_async_context(open_world(run, settings=settings))


async def _ask(readers: Readers, number: int) -> None:
    await readers.ask(number, f"Open a ticket: lamp-{number}- flickers")


def _report(run: Run, readers: Readers) -> None:
    run.violations += readers.wrong
    unmended = [sent for sent in readers.sent if sent.answered_at is None]
    run.figures["connections"] = sum(len(sent.attempts) for sent in readers.sent)
    run.figures["mended by a resend"] = len(readers.mended)
    run.figures["p99 s until it goes on"] = round(quantile(readers.resumed, 0.99), 2)
    run.at_most("not mended by a resend", len(unmended), 0)
