"""
What a customer sees and can do in the chat window, and what becomes of messages that nobody answers.
"""

import gzip
import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from agent.widget import pages
from tests.browser.conftest import ARTEFACTS
from tests.browser.fake_service import Answer, Cut, Drained, FakeService, Held, Refusal

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

QUESTION = "How long does delivery take?"
ANSWER = Answer(
    text=(
        "Standard delivery takes **2 to 3 working days** and costs £4.50. [1]\n\n"
        "- Express arrives on the next working day. [1]\n- Bicycles take 4 to 6 working days. [2]"
    ),
    deltas=(
        "Standard delivery takes **2 to 3 working days** and costs £4.50. [1]",
        "\n\n- Express arrives on the next working day. [1]",
        "\n- Bicycles take 4 to 6 working days. [2]",
    ),
    citations=(
        {
            "n": 1,
            "article_id": "shipping-costs-and-times",
            "title": "Delivery costs and times",
            "url": "/help/shipping-costs-and-times",
            "quote": "Standard delivery takes 2 to 3 working days and costs £4.50.",
        },
        {
            "n": 2,
            "article_id": "returns-bicycle",
            "title": "Returning a complete bicycle",
            "url": "https://shop.example/help",
            "quote": "That takes 4 to 6 working days and costs £29.",
        },
    ),
    quick_replies=("What does express cost?", "Talk to a person"),
)
DEGRADED = {
    "feature": "tickets",
    "dependency": "tickets",
    "since": "2026-11-22T10:00:00+00:00",
    "message": "Our ticket system is not available right now. Your ticket is kept and will be opened later.",
}


async def _open(page: Page, service: FakeService) -> None:
    await page.goto(service.url)
    await page.get_by_role("button", name="Open chat").click()


async def _ask(page: Page, text: str) -> None:
    await page.get_by_label("Write a message").fill(text)
    await page.get_by_role("button", name="Send").click()


async def _picture(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    await page.wait_for_timeout(250)  # the window has finished to rise
    await page.screenshot(path=ARTEFACTS / f"{name}.png")


async def test_a_question_is_answered_with_sources_that_can_be_opened(
    page: Page, service: FakeService
) -> None:
    service.answers[QUESTION] = ANSWER
    await _open(page, service)

    await _ask(page, QUESTION)

    bubble = page.locator(".message.agent .bubble").last
    await expect(bubble.locator("strong")).to_have_text("2 to 3 working days")
    await expect(bubble.locator("li")).to_have_count(2)
    quote = page.get_by_text("Standard delivery takes 2 to 3 working days and costs £4.50.", exact=True)
    await expect(quote).to_be_hidden()
    await bubble.get_by_role("button", name="Source 1").first.click()
    await expect(quote).to_be_visible()
    link = page.get_by_role("link", name="Read the article").first
    assert await link.get_attribute("href") == f"{service.url}/help/shipping-costs-and-times"
    await _picture(page, "answer")


async def test_sentences_appear_while_the_answer_is_still_being_made(
    page: Page, service: FakeService
) -> None:
    service.answers[QUESTION] = ANSWER
    service.faults[QUESTION] = [Held()]
    await _open(page, service)

    await _ask(page, QUESTION)

    bubble = page.locator(".message.agent .bubble").last
    await expect(bubble).to_contain_text("2 to 3 working days")
    await expect(bubble.locator("li")).to_have_count(0)
    await expect(page.get_by_role("log")).to_have_attribute("aria-busy", "true")
    service.go_on.set()
    await expect(bubble.locator("li")).to_have_count(2)
    await expect(page.get_by_role("log")).not_to_have_attribute("aria-busy", "true")


async def test_a_quick_reply_is_sent_as_the_customers_message_and_then_withdrawn(
    page: Page, service: FakeService
) -> None:
    service.answers[QUESTION] = ANSWER
    await _open(page, service)
    await _ask(page, QUESTION)

    await page.get_by_role("button", name="Talk to a person", exact=True).click()

    await expect(page.locator(".message.agent .bubble").last).to_have_text("You said: Talk to a person")
    await expect(page.get_by_role("button", name="Talk to a person", exact=True)).to_have_count(0)
    first, second = service.bodies(QUESTION)[0], service.bodies("Talk to a person")[0]
    assert "conversation_id" not in first
    assert second["conversation_id"] == f"conv_{first['client_message_id']}"


async def test_a_degraded_part_and_a_receipt_are_shown(page: Page, service: FakeService) -> None:
    service.answers["ticket"] = Answer(
        text="I have noted that. Your receipt is R-7QK2M4XWZC.",
        tool="open_ticket",
        actions=({"call_id": "c", "tool": "open_ticket", "status": "queued", "receipt": "R-7QK2M4XWZC"},),
        degraded=(DEGRADED,),
    )
    await _open(page, service)

    await _ask(page, "ticket")

    notice = page.locator(".message [role=status]")
    await expect(notice).to_have_text(DEGRADED["message"])
    await expect(page.locator(".action")).to_have_text("Kept for later · Receipt R-7QK2M4XWZC")
    await _picture(page, "degraded")


async def test_a_message_survives_a_stopped_service_and_arrives_once(
    page: Page, service: FakeService
) -> None:
    await _open(page, service)
    service.stop()

    await _ask(page, "Is anybody there?")

    await expect(page.get_by_text("We cannot be reached right now.")).to_be_visible()
    await expect(page.get_by_text("Not sent yet")).to_be_visible()
    await _picture(page, "unreachable")
    service.start()
    await expect(page.get_by_text("You said: Is anybody there?")).to_be_visible(timeout=15_000)
    await expect(page.get_by_text("We cannot be reached right now.")).to_be_hidden()
    assert service.stored("Is anybody there?") == 1


async def test_an_offline_browser_sends_when_it_is_back(page: Page, service: FakeService) -> None:
    await _open(page, service)
    await page.context.set_offline(True)

    await _ask(page, "From the tunnel")

    await expect(page.get_by_text("You seem to be offline.")).to_be_visible()
    await page.context.set_offline(False)
    await expect(page.get_by_text("You said: From the tunnel")).to_be_visible()
    assert service.stored("From the tunnel") == 1


async def test_a_stream_that_breaks_is_asked_for_again_under_the_same_id(
    page: Page, service: FakeService
) -> None:
    service.answers[QUESTION] = ANSWER
    service.faults[QUESTION] = [Cut(), Drained(retry_ms=100)]
    await _open(page, service)

    await _ask(page, QUESTION)

    await expect(page.locator(".message.agent .bubble").last.locator("li")).to_have_count(2, timeout=15_000)
    bodies = service.bodies(QUESTION)
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]
    assert service.stored(QUESTION) == 1
    await expect(page.locator(".message.customer")).to_have_count(1)
    await expect(page.locator(".message.agent")).to_have_count(2)  # the greeting and one answer


async def test_a_stream_that_broke_off_goes_on_from_its_last_event(page: Page, service: FakeService) -> None:
    service.answers[QUESTION] = ANSWER
    service.faults[QUESTION] = [Cut()]
    service.can_resume = True
    await _open(page, service)

    await _ask(page, QUESTION)

    bubble = page.locator(".message.agent .bubble").last
    await expect(bubble.locator("li")).to_have_count(2, timeout=15_000)
    await expect(bubble.locator("strong")).to_have_text("2 to 3 working days")  # of before the cut, once
    assert service.resumed == ["turn_1:2"]
    await expect(page.locator(".message.agent")).to_have_count(2)


async def test_retry_after_is_waited_for(page: Page, service: FakeService) -> None:
    service.faults["hello"] = [Refusal(status=503, retry_after="2")]
    await _open(page, service)

    await _ask(page, "hello")

    await expect(page.get_by_text("You said: hello")).to_be_visible()
    first, second = (at for at, _, _ in service.requests)
    assert 2.0 <= second - first < 3.5


async def test_try_again_does_not_wait(page: Page, service: FakeService) -> None:
    service.faults["hello"] = [Refusal(status=429, retry_after="600")]
    await _open(page, service)
    await _ask(page, "hello")

    await page.get_by_role("button", name="Try again").click()

    await expect(page.get_by_text("You said: hello")).to_be_visible()


async def test_an_unsent_message_survives_a_reload(page: Page, service: FakeService) -> None:
    service.faults["hello"] = [Refusal(status=503, retry_after="600")]
    await _open(page, service)
    await _ask(page, "hello")
    await expect(page.get_by_text("Not sent yet")).to_be_visible()

    await page.reload()

    await expect(page.get_by_text("You said: hello")).to_be_visible()
    first, second = service.bodies("hello")
    assert first == second


async def test_a_refused_message_is_not_sent_again_by_itself(page: Page, service: FakeService) -> None:
    service.faults["hello"] = [Refusal(status=422, retryable=False)]
    await _open(page, service)

    await _ask(page, "hello")

    await expect(page.get_by_text("This message could not be sent.")).to_be_visible()
    await _ask(page, "next")
    await expect(page.get_by_text("You said: next")).to_be_visible()
    assert len(service.bodies("hello")) == 1


async def test_a_reload_brings_the_conversation_back(page: Page, service: FakeService) -> None:
    service.answers[QUESTION] = ANSWER
    await _open(page, service)
    await _ask(page, QUESTION)
    await expect(page.get_by_text("Bicycles take 4 to 6 working days.")).to_be_visible()
    conversation = next(iter(service.messages))
    service.add(conversation, "system", "Your ticket now has the number 4711.")

    await page.reload()

    entries = page.locator(".message:not(:first-child) .bubble")
    await expect(entries).to_have_count(3)
    await expect(entries.nth(0)).to_have_text(QUESTION)
    await expect(entries.nth(1).locator("strong")).to_have_text("2 to 3 working days")
    await expect(entries.nth(2)).to_have_text("Your ticket now has the number 4711.")
    await expect(page.locator("details")).to_have_count(2)
    await _ask(page, "And then?")
    await expect(page.get_by_text("You said: And then?")).to_be_visible()
    assert service.bodies("And then?")[0]["conversation_id"] == conversation


async def test_a_conversation_that_is_gone_gives_way_to_a_new_one(page: Page, service: FakeService) -> None:
    await _open(page, service)
    await _ask(page, "first")
    await expect(page.get_by_text("You said: first")).to_be_visible()
    service.messages.clear()

    await _ask(page, "second")

    await expect(page.get_by_text("You said: second")).to_be_visible()
    assert service.bodies("second")[-1].get("conversation_id") is None


async def test_a_visitor_gets_a_token_and_renews_it(page: Page, service: FakeService) -> None:
    service.visitor_tokens = []
    await _open(page, service)
    await _ask(page, "first")
    await expect(page.get_by_text("You said: first")).to_be_visible()
    service.visitor_tokens.clear()

    await _ask(page, "second")

    await expect(page.get_by_text("You said: second")).to_be_visible()
    assert service.renewals == [None, "Bearer vis_1"]
    assert service.requests[-1][2]["authorization"] == "Bearer vis_2"
    assert service.stored("second") == 1


async def test_an_embedded_element_asks_the_page_for_the_customers_token(
    page: Page, service: FakeService
) -> None:
    service.visitor_tokens = ["jwt-of-mara"]
    service.pages["shop"] = """<!doctype html><html lang="de"><body>
        <careline-chat title="Hilfe" token-callback="signedIn" accent="#ffd400" locale="de-DE" open
          texts='{"write": "Nachricht schreiben", "send": "Senden"}'></careline-chat>
        <script>window.signedIn = async () => "jwt-of-mara"</script>
        <script src="/widget.js"></script></body></html>"""
    await page.goto(f"{service.url}/page/shop")

    await page.get_by_label("Nachricht schreiben").fill("Hallo")
    await page.get_by_role("button", name="Senden").click()

    await expect(page.get_by_text("You said: Hallo")).to_be_visible()
    assert await page.locator("careline-chat").count() == 1
    _, body, headers = service.requests[0]
    assert headers["authorization"] == "Bearer jwt-of-mara"
    assert body["locale"] == "de-DE"
    assert service.renewals == []
    header = page.locator(".panel header")
    assert await header.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(255, 212, 0)"
    await _picture(page, "light-accent")


async def test_the_keyboard_alone_is_enough(page: Page, service: FakeService) -> None:
    service.pages["bare"] = (
        '<!doctype html><html lang="en"><body><script src="/widget.js"></script></body></html>'
    )
    await page.goto(f"{service.url}/page/bare")
    focused = "document.activeElement.shadowRoot?.activeElement?.getAttribute('aria-label')"

    await page.keyboard.press("Tab")
    assert await page.evaluate(focused) == "Open chat"
    await page.keyboard.press("Enter")
    assert await page.evaluate(focused) == "Write a message"
    await page.keyboard.type("two")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("lines")
    await page.keyboard.press("Enter")

    await expect(page.locator(".message.agent .bubble").last).to_contain_text("You said: two")
    assert service.requests[0][1]["message"] == "two\nlines"
    assert await page.evaluate(focused) == "Write a message"
    await page.keyboard.press("Shift+Tab")
    assert await page.evaluate(focused) == "Conversation"
    await page.keyboard.press("Escape")
    assert await page.evaluate(focused) == "Open chat"
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_screen_reader_finds_its_way(page: Page, service: FakeService) -> None:
    await _open(page, service)

    await expect(page.get_by_role("dialog", name="Quillmere Cycles help")).to_be_visible()
    await expect(page.get_by_role("log", name="Conversation")).to_have_attribute("aria-live", "polite")
    await expect(page.get_by_role("textbox", name="Write a message")).to_be_focused()
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await expect(page.get_by_role("button", name="Close chat")).to_be_visible()
    await page.get_by_role("button", name="Close chat").click()
    launcher = page.get_by_role("button", name="Open chat")
    await expect(launcher).to_be_focused()
    await expect(launcher).to_have_attribute("aria-expanded", "false")


async def test_a_message_that_is_too_long_is_not_sent(page: Page, service: FakeService) -> None:
    await _open(page, service)
    field = page.get_by_label("Write a message")

    await field.fill("😀" * 8001)
    await expect(page.get_by_text("8001 / 8000 characters")).to_be_visible()
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await field.press("Enter")
    await field.fill("  " + "😀" * 8000 + "  ")
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()
    await field.press("Enter")

    await expect(page.locator(".message.customer")).to_have_count(1)
    await expect(page.locator(".message.agent")).to_have_count(2)
    assert [len(body["message"].strip()) for _, body, _ in service.requests] == [8000]


async def test_the_question_buttons_of_the_demo_page_ask(page: Page, service: FakeService) -> None:
    service.answers[QUESTION] = ANSWER
    await page.goto(service.url)

    await page.locator("main").get_by_role("button", name=QUESTION).click()

    await expect(page.get_by_text("Bicycles take 4 to 6 working days.")).to_be_visible()


async def test_the_demo_page_speaks_for_the_customer_who_is_chosen(page: Page, service: FakeService) -> None:
    await _open(page, service)
    await _ask(page, "as Mara")
    await expect(page.get_by_text("You said: as Mara")).to_be_visible()

    await page.get_by_label("Signed in as").select_option("Tomasz Wierzba")
    await _ask(page, "as Tomasz")

    await expect(page.get_by_text("You said: as Tomasz")).to_be_visible()
    assert service.bodies("as Mara")[0]["customer_id"] == "cus_01"
    assert service.bodies("as Tomasz")[0]["customer_id"] == "cus_02"
    assert "conversation_id" not in service.bodies("as Tomasz")[0]


async def test_reset_forgets_the_conversation(page: Page, service: FakeService) -> None:
    await _open(page, service)
    await _ask(page, "secret of the first customer")
    await expect(page.get_by_text("You said: secret")).to_be_visible()

    await page.locator("careline-chat").evaluate("chat => chat.reset()")

    await expect(page.get_by_text("secret")).to_have_count(0)
    assert "secret" not in await page.evaluate("JSON.stringify(sessionStorage)")
    await _ask(page, "hello")
    await expect(page.get_by_text("You said: hello")).to_be_visible()
    assert "conversation_id" not in service.bodies("hello")[0]


async def test_a_paragraph_separator_in_a_reply_breaks_nothing(page: Page, service: FakeService) -> None:
    service.answers["odd"] = Answer(text="before\u2028between\u2029after\r\nnext line")
    await _open(page, service)

    await _ask(page, "odd")

    await expect(page.locator(".message.agent .bubble").last).to_contain_text("after")


async def test_it_is_legible_in_the_dark(page: Page, service: FakeService) -> None:
    service.answers[QUESTION] = ANSWER
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await _open(page, service)
    await _ask(page, QUESTION)
    await expect(page.get_by_text("Bicycles take 4 to 6 working days.")).to_be_visible()

    colours = await page.locator(".panel").evaluate(
        "node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color].map("
        "colour => colour.match(/\\d+/g).map(Number).slice(0, 3).reduce((a, b) => a + b) / 3)"
    )

    assert colours[0] < 60
    assert colours[1] > 200
    await _picture(page, "dark")


async def test_it_fits_a_telephone_and_right_to_left(page: Page, service: FakeService) -> None:
    service.answers["سؤال"] = Answer(
        text="يستغرق التوصيل من **يومين إلى ثلاثة** أيام عمل.\n\n- الأول\n- الثاني"
    )
    service.pages[
        "rtl"
    ] = """<!doctype html><html lang="ar" dir="rtl"><meta name="viewport" content="width=device-width">
        <body><script src="/widget.js" data-title="مساعدة"></script></body></html>"""
    await page.set_viewport_size({"width": 390, "height": 780})
    await page.goto(f"{service.url}/page/rtl")
    launcher = await page.get_by_role("button", name="Open chat").bounding_box()
    assert launcher is not None
    assert launcher["x"] < 100

    await page.get_by_role("button", name="Open chat").click()
    await _ask(page, "سؤال")

    await expect(page.locator(".message.agent li")).to_have_count(2)
    panel = await page.locator(".panel").bounding_box()
    assert panel == {"x": 0, "y": 0, "width": 390, "height": 780}
    await _picture(page, "telephone-rtl")


async def test_help_articles_can_be_read_and_look_right(page: Page, service: FakeService) -> None:
    await page.goto(service.url)
    await _picture(page, "demo-page")

    await page.get_by_role("link", name="Which frame size do I need?").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("Which frame size do I need?")
    await expect(page.get_by_role("row")).to_have_count(6)
    await _picture(page, "help-article")


_SOURCE = Path(pages.__file__).with_name("widget.js").read_bytes()


async def test_the_script_is_small_and_cached(service: FakeService) -> None:
    async with httpx.AsyncClient(base_url=service.url) as client:
        plain = await client.get("/widget.js", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/widget.js", headers={"Accept-Encoding": "gzip"})
        again = await client.get("/widget.js", headers={"If-None-Match": packed.headers["etag"]})

    assert len(gzip.compress(_SOURCE, 9)) <= 10_000
    assert plain.content == packed.content == _SOURCE
    assert int(packed.headers["content-length"]) <= 10_000
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.headers["etag"] != packed.headers["etag"]
    assert again.status_code == 304
    assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", _SOURCE)


async def test_messages_are_answered_in_the_order_of_writing(page: Page, service: FakeService) -> None:
    service.faults["one"] = [Refusal(status=503, retry_after="1")]
    await _open(page, service)

    for text in ("one", "two", "three"):
        await _ask(page, text)

    await expect(page.get_by_text("You said: three")).to_be_visible(timeout=10_000)
    assert [body["message"] for _, body, _ in service.requests] == ["one", "one", "two", "three"]


async def test_a_long_answer_is_shown_from_its_beginning(page: Page, service: FakeService) -> None:
    service.answers["long"] = Answer(text="\n\n".join(f"Paragraph {number}." for number in range(60)))
    await _open(page, service)

    await _ask(page, "long")

    await expect(page.get_by_text("Paragraph 0.")).to_be_in_viewport()
    await expect(page.get_by_text("Paragraph 59.")).not_to_be_in_viewport()
