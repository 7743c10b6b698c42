"""
Whatever a reply, a title, a quote or a link contains, the chat window shows it as text.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.fake_service import NOW, Answer, FakeService
from tests.data import shared

pytestmark = [pytest.mark.browser, pytest.mark.data, pytest.mark.asyncio(loop_scope="session")]

_ROWS = 600
_BATCH = 30
_HARMLESS_TAGS = {
    *("A", "B", "BLOCKQUOTE", "BR", "BUTTON", "CODE", "DETAILS", "DIV"),
    *("H3", "LI", "OL", "P", "SPAN", "STRONG", "SUMMARY", "UL"),
}
_HARMLESS_ATTRIBUTES = {"aria-label", "class", "dir", "href", "open", "rel", "role", "start", "target"}

_INSPECT = """log => [...log.querySelectorAll("*")].reduce((found, node) => {
    found.tags.push(node.tagName);
    for (const attribute of node.attributes) found.attributes.push(attribute.name);
    if (node.href) found.schemes.push(new URL(node.href).protocol);
    return found;
}, {tags: [], attributes: [], schemes: []})"""


def _payloads() -> list[str]:
    """Spread over the whole file, so that every source of it has its say."""
    lines = shared("security/xss_payloads.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["payload"] for line in lines[:: len(lines) // _ROWS]]


def _batches() -> Iterator[list[str]]:
    payloads = _payloads()
    assert len(payloads) >= _ROWS
    for start in range(0, len(payloads), _BATCH):
        yield payloads[start : start + _BATCH]


def _hostile(payloads: list[str]) -> Answer:
    citations: list[dict[str, Any]] = [
        {"n": n, "article_id": payload, "title": payload, "url": payload, "quote": payload}
        for n, payload in enumerate(payloads, start=1)
    ]
    links = [f"[{payload[:40]}]({payload}) **{payload}** `{payload}` - {payload}" for payload in payloads]
    return Answer(
        text="\n\n".join([*payloads, *links, *(f"- {payload}" for payload in payloads)]),
        citations=tuple(citations),
        quick_replies=tuple(payloads),
        actions=tuple({"status": "queued", "receipt": payload, "reference": payload} for payload in payloads),
        degraded=tuple(
            {"feature": "x", "dependency": "x", "since": NOW, "message": payload} for payload in payloads
        ),
        tool=payloads[0],
    )


async def test_hostile_replies_stay_text(page: Page, service: FakeService) -> None:
    await page.goto(service.url)
    chat = page.locator("careline-chat")

    for number, payloads in enumerate(_batches()):
        service.answers[f"question {number}"] = _hostile(payloads)
        await chat.evaluate("(chat, text) => { chat.reset(); chat.ask(text); }", f"question {number}")
        await expect(page.locator(".message.agent blockquote")).to_have_count(sum(map(bool, payloads)))

        found = await page.get_by_role("log").evaluate(_INSPECT)
        quotes = await page.locator(".message blockquote").all_text_contents()
        assert set(found["tags"]) <= _HARMLESS_TAGS
        assert set(found["attributes"]) <= _HARMLESS_ATTRIBUTES
        assert set(found["schemes"]) <= {"http:", "https:", "mailto:"}
        assert quotes == [payload for payload in payloads if payload]


async def test_hostile_history_and_attributes_stay_text(page: Page, service: FakeService) -> None:
    first = next(_batches())
    await page.goto(service.url)
    chat = page.locator("careline-chat")
    await chat.evaluate("chat => chat.ask('hello')")
    await expect(page.get_by_text("You said: hello")).to_be_visible()
    conversation = next(iter(service.messages))
    for payload in first:
        for role in ("customer", "agent", "operator", "system"):
            service.add(conversation, role, payload)
    await chat.evaluate(
        "(chat, text) => { chat.setAttribute('accent', text); chat.setAttribute('locale', text); }",
        "red}*{background:url(https://evil.example)}</style><script>alert(1)</script>",
    )

    await page.reload()

    await expect(page.locator(".message.system")).to_have_count(len(first))
    found = await page.get_by_role("log").evaluate(_INSPECT)
    assert set(found["tags"]) <= _HARMLESS_TAGS
    assert set(found["attributes"]) <= _HARMLESS_ATTRIBUTES


@pytest.mark.parametrize(
    "piece", ["[", "[a](", "[[", "**", "`", "- ", "http://", "\n", "# ", "[1]"], ids=repr
)
async def test_repeated_marks_do_not_hold_the_page_up(page: Page, service: FakeService, piece: str) -> None:
    service.answers["long"] = Answer(text=piece * (200_000 // len(piece)))
    await page.add_init_script(
        "window.longest = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "task => longest = Math.max(longest, task.duration))).observe({entryTypes: ['longtask']})"
    )
    await page.goto(service.url)

    await page.locator("careline-chat").evaluate("chat => chat.ask('long')")
    await expect(page.locator(".message.agent")).to_have_count(2)
    await expect(page.get_by_role("log")).not_to_have_attribute("aria-busy", "true")

    assert service.stored("long") == 1
    await page.wait_for_timeout(300)  # the observer is told later
    assert await page.evaluate("longest") < 3000
