"""A stream whose turn ran while SQL was down: its numbers are such as clients can count with, and it can be gone on with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import httpx_sse

from tests.careline_process import CarelineProcess
from tests.servers import PostgresServer, RedisServer
from tests.service.test_streams_across_replicas import Page

_NUMBERS = 1 << 53


async def read(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> Page:
    page = Page()
    async with httpx_sse.aconnect_sse(client, method, path, **more) as stream:
        stream.response.raise_for_status()
        await page.read(stream.aiter_sse())
    return page


async def test_a_turn_of_an_outage_can_be_heard_from_any_of_its_events(
    killable_postgres: PostgresServer, killable_redis: RedisServer, tmp_path: Path
) -> None:
    settings: Mapping[str, str] = {
        "database_url": killable_postgres.url(),
        "redis_url": killable_redis.url,
        "rate_limit_per_customer": "0",
    }
    with CarelineProcess(tmp_path, settings) as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=20) as client:
            (
                await client.post("/v1/chat", json={"message": "hello", "client_message_id": "1"})
            ).raise_for_status()
            killable_postgres.kill()
            whole = await read(
                client,
                "POST",
                "/v1/chat",
                json={"message": "hello again", "client_message_id": "2"},
                headers={"Accept": "text/event-stream"},
            )
            turn = whole.first("accepted").data["turn_id"]
            texts = []
            for seen in whole.seen[:-1]:
                page = await read(
                    client, "GET", f"/v1/turns/{turn}/events", headers={"Last-Event-ID": seen.id}
                )
                heard = "".join(
                    each.data["text"]
                    for each in whole.seen[: whole.seen.index(seen) + 1]
                    if each.event == "delta"
                )
                has_reset = any(each.event == "reset" for each in page.seen)
                texts.append(page.text if has_reset else heard + page.text)

    durability = whole.first("accepted").data["durability"]
    assert durability == "redis"
    assert all(int(each.id.rpartition(":")[2]) < _NUMBERS for each in whole.seen)
    assert texts == [whole.text] * len(texts)
    assert whole.text == whole.first("message").data["reply"]["text"]
    assert json.dumps(whole.last.data) == "{}"
