"""
A Chromium for the whole run, and for each test a fresh page beside a fresh service.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.fake_service import FakeService

ARTEFACTS = Path(__file__).resolve().parents[2] / "test-artefacts"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium not found")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield running
        await running.close()


@pytest.fixture
def service() -> Iterator[FakeService]:
    running = FakeService()
    running.start()
    yield running
    running.go_on.set()
    running.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Fails the test on a dialog or on an error of the page's scripts."""
    context = await browser.new_context(viewport={"width": 1180, "height": 820}, locale="en-GB")
    opened = await context.new_page()
    surprises: list[str] = []
    opened.on("pageerror", lambda error: surprises.append(f"page error: {error}"))
    opened.on(
        "console", lambda line: surprises.append(line.text) if "Content Security" in line.text else None
    )

    async def dismiss(dialog: object) -> None:
        surprises.append(f"dialog: {dialog}")
        await dialog.dismiss()  # type: ignore[attr-defined]

    opened.on("dialog", dismiss)
    yield opened
    await context.close()
    assert surprises == []
