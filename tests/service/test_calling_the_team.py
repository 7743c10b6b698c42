"""The team is told of a customer who waits for a person: once on each way, with all it needs to answer. The customer is not."""

import asyncio
import json
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from agent.bootstrap import Careline, open_careline
from agent.turn.inputs import ChatRequest
from core.identity import Caller, CallerKind
from core.messages import MessageRole, TurnResult, TurnStatus
from core.settings import Settings
from tests.http_faults import Answer, FaultyServer
from tests.smtp_server import MailServer

ADA = Caller(kind=CallerKind.CUSTOMER, customer_id="ada")
SECRET = "s" * 32


def settings_in(folder: Path, **changes: Any) -> Settings:
    return Settings(
        database_url=f"sqlite+aiosqlite:///{folder / 'careline.db'}",
        data_dir=folder / "data",
        outbox_poll_seconds=0.1,
        **changes,
    )


async def say(careline: Careline, text: str, *, to: str | None = None, id: str) -> TurnResult:
    request = ChatRequest(caller=ADA, message=text, conversation_id=to, client_message_id=id)
    submission = await careline.turns.submit(request)
    result = submission.result or await careline.turns.wait("default", submission.turn_id, seconds=20)
    assert result is not None
    return result


async def calls_are_over(careline: Careline, *, number: int) -> None:
    async with asyncio.timeout(20):
        while True:
            entries = await careline.records.outbox.entries()
            if len(entries) == number and all(entry.status == "done" for entry in entries):
                return
            await asyncio.sleep(0.05)


async def test_a_mail_and_the_webhook_tell_the_team_once_how_to_answer(tmp_path: Path) -> None:
    async with (
        MailServer() as mail,
        FaultyServer(lambda _: Answer(status=204)).listening() as hook,
    ):
        settings = settings_in(
            tmp_path,
            smtp_url=f"smtp://127.0.0.1:{mail.port}",
            handoff_email="team@shop.example",
            webhook_url=hook.url,
            webhook_secret=SECRET,
            quiet_hours="00:00-23:59",
            quiet_channels="email,sms,chat,webhook",
        )
        async with open_careline(settings) as careline:
            first = await say(careline, "hello", id="1")
            handed = await say(careline, "I want to talk to a person", to=first.conversation_id, id="2")
            again = await say(careline, "I want to talk to a person", to=first.conversation_id, id="2")
            await say(careline, "Hello?", to=first.conversation_id, id="3")
            await calls_are_over(careline, number=2)
            log = await careline.turns.messages("default", first.conversation_id, after=0, limit=50)

    assert handed.status is TurnStatus.HANDED_OVER
    assert again == handed
    (raw,) = mail.messages
    sent = message_from_bytes(raw, policy=default)
    text = sent.get_body().get_content()  # type: ignore[union-attr]  # it has one: the next lines read it
    assert sent["To"] == "team@shop.example"
    assert "A customer waits for a person" in sent["Subject"]
    for needed in (
        first.conversation_id,
        "Customer: ada",
        "> I want to talk to a person",
        "> hello",
        f'careline handoff reply {first.conversation_id} "…"',
    ):
        assert needed in text
    (event,) = [body for asked in hook.asked if (body := json.loads(asked.body))["type"] != "ping"]
    assert (event["type"], event["conversation_id"]) == ("handoff", first.conversation_id)
    assert "customer_id" not in event
    assert "> I want to talk to a person" in event["body"]
    assert {each.role for each in log} == {MessageRole.CUSTOMER, MessageRole.AGENT}


async def test_a_second_handoff_calls_again(tmp_path: Path) -> None:
    async with MailServer() as mail:
        settings = settings_in(
            tmp_path, smtp_url=f"smtp://127.0.0.1:{mail.port}", ticket_fallback_email="desk@shop.example"
        )
        async with open_careline(settings) as careline:
            first = await say(careline, "I want to talk to a person", id="1")
            await calls_are_over(careline, number=1)
            await careline.records.handoffs.give_back(
                "default", first.conversation_id, at=careline.clock.now(), note=lambda _: "back"
            )
            await say(careline, "I want to talk to a person", to=first.conversation_id, id="2")
            await calls_are_over(careline, number=2)

    assert [message_from_bytes(raw)["To"] for raw in mail.messages] == ["desk@shop.example"] * 2


async def test_where_nobody_can_be_told_nothing_is_promised(tmp_path: Path) -> None:
    async with open_careline(settings_in(tmp_path)) as careline:
        handed = await say(careline, "I want to talk to a person", id="1")

        assert handed.status is TurnStatus.HANDED_OVER
        assert await careline.records.outbox.entries() == ()
