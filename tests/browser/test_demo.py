"""The whole thing as a newcomer meets it: `careline demo` in its own process, its page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import ARTEFACTS
from tests.careline_process import CarelineProcess
from tests.servers import RedisServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture
def demo(folder: Path, killable_redis: RedisServer) -> Iterator[CarelineProcess]:
    """The folder stays, so only the first start has to read the articles."""
    with CarelineProcess(folder, {"redis_url": killable_redis.url}, command="demo") as process:
        yield process


async def _open(page: Page, demo: CarelineProcess) -> None:
    await page.goto(demo.url)
    await page.get_by_role("button", name="Open chat").click()


async def _ask(page: Page, text: str, *, answer: str) -> None:
    """Send a message and wait for a reply that says `answer`."""
    replies = page.locator(".message.agent .bubble")
    before = await replies.count()
    await page.get_by_label("Write a message").fill(text)
    await page.get_by_role("button", name="Send").click()
    await expect(replies).to_have_count(before + 1, timeout=10_000)
    await expect(replies.last).to_contain_text(answer, timeout=10_000)


async def test_a_question_gets_an_answer_whose_quote_stands_in_the_article(
    page: Page, demo: CarelineProcess
) -> None:
    await _open(page, demo)

    await _ask(page, "How long do I have to return a bicycle?", answer="30 days")

    bubble = page.locator(".message.agent .bubble").last
    await bubble.get_by_role("button", name="Source 1").first.click()
    link = page.get_by_role("link", name="Read the article").first
    await expect(link).to_be_visible()
    ARTEFACTS.mkdir(exist_ok=True)
    await page.wait_for_timeout(250)  # the window has finished to rise
    await page.screenshot(path=ARTEFACTS / "demo.png")
    await page.goto(str(await link.get_attribute("href")))
    await expect(page.locator("main")).to_contain_text("30 days")


async def test_a_ticket_is_asked_for_and_its_receipt_shown(page: Page, demo: CarelineProcess) -> None:
    await _open(page, demo)

    await _ask(page, "I want to open a ticket", answer="few words")
    await _ask(page, "Scratched frame", answer="describe what happened")
    await _ask(page, "The frame arrived with a deep scratch near the chain guard.", answer="R-")

    await expect(page.get_by_role("log")).to_contain_text("T-1")


async def test_without_redis_answers_go_on_and_nothing_is_to_be_seen(
    page: Page, demo: CarelineProcess, killable_redis: RedisServer
) -> None:
    await _open(page, demo)
    await _ask(page, "I want to open a ticket", answer="few words")

    killable_redis.kill()
    await _ask(page, "Broken spoke", answer="describe what happened")
    await _ask(page, "One spoke of the rear wheel is broken since yesterday.", answer="R-")

    await expect(page.get_by_role("status")).to_have_count(0)
