"""Claims about notifications through the whole service: its settings, its outbox, a provider on a real socket, a command."""

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from agent.bootstrap import open_careline
from core.records import Notification, OutboxItem, OutboxKind, recipient_of
from core.settings import Settings
from state.sql.outbox import OutboxEntry
from tests.careline_process import run_careline
from tests.http_faults import Answer, Asked, FaultyServer, as_json

ACCOUNT = "AC" + "0" * 32


def settings_in(folder: Path, url: str, **changes: Any) -> Settings:
    return Settings(
        database_url=f"sqlite+aiosqlite:///{folder / 'careline.db'}",
        data_dir=folder / "data",
        twilio_account=ACCOUNT,
        twilio_key="token",
        twilio_sender="+15005550006",
        twilio_url=url,
        **changes,
    )


def promised(key: str, address: str, text: str) -> OutboxItem:
    note = Notification(key, "sms", address, "News", text)
    return OutboxItem(
        key,
        OutboxKind.NOTIFICATION,
        "default",
        "conv_none",
        msgspec.to_builtins(note),
        recipient=recipient_of("sms", address),
    )


async def settled(settings: Settings, *items: OutboxItem) -> dict[str, OutboxEntry]:
    """What became of promises after the service has run for as long as they took."""
    async with open_careline(settings) as careline, asyncio.timeout(30):
        for item in items:
            await careline.records.outbox.put(item)
        while True:
            entries = {entry.item.key: entry for entry in await careline.records.outbox.entries()}
            if all(entries[item.key].status != "due" for item in items):
                return entries
            await asyncio.sleep(0.1)


async def test_promised_text_messages_go_out_once_and_a_dead_number_only_until_it_is_known(
    tmp_path: Path,
) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            return as_json({"messages": []})
        if parse_qs(asked.body.decode())["To"] == ["+34600000000"]:
            return as_json({"code": 21614, "status": 400}, status=400)
        return as_json({"sid": "SM1"}, status=201)

    async with FaultyServer(answer).listening() as twilio:
        entries = await settled(
            settings_in(tmp_path, twilio.url),
            promised("a", "+34600111222", "It is on its way."),
            promised("b", "+34600111222", "It is on  its way."),
            promised("c", "+34600000000", "It is on its way."),
            promised("d", "+34600000000", "It has arrived."),
        )
        posted = [parse_qs(asked.body.decode())["To"][0] for asked in twilio.asked if asked.method == "POST"]

    assert {key: entry.status for key, entry in entries.items()} == {
        "a": "done", "b": "done", "c": "dead", "d": "dead",
    }  # fmt: skip
    assert (entries["a"].reference, entries["b"].reference) == ("SM1", "SM1")
    assert sorted(posted) == ["+34600000000", "+34600111222"]

    environment = {"database_url": settings_in(tmp_path, "http://127.0.0.1").database_url}
    said = run_careline("addresses", "allow", "sms", "+34 600 000 000", folder=tmp_path, settings=environment)
    assert "again" in said
    with pytest.raises(subprocess.CalledProcessError):
        run_careline("addresses", "allow", "sms", "+34 600 000 000", folder=tmp_path, settings=environment)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run_careline("addresses", "allow", "pigeon", "x", folder=tmp_path, settings=environment)
    assert refused.value.returncode == 2
    assert "email, sms, chat, webhook" in refused.value.stderr


async def test_in_quiet_hours_nothing_is_asked_of_the_provider(tmp_path: Path) -> None:
    hour = datetime.now(UTC).hour
    quiet = f"{(hour - 1) % 24:02}:00-{(hour + 3) % 24:02}:00"
    async with FaultyServer(lambda _: as_json({})).listening() as twilio:
        settings = settings_in(tmp_path, twilio.url, quiet_hours=quiet)
        async with open_careline(settings) as careline, asyncio.timeout(30):
            await careline.records.outbox.put(promised("a", "+34600111222", "Hello"))
            while True:
                (entry,) = await careline.records.outbox.entries()
                if entry.error is not None:
                    break
                await asyncio.sleep(0.1)

    assert (entry.status, entry.error, entry.item.attempts) == ("due", "quiet_hours", 0)
    assert entry.due_at.minute == entry.due_at.second == 0
    assert [asked for asked in twilio.asked if asked.method == "POST"] == []
