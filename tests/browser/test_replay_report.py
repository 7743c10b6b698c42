"""The report of a replay in a real browser: found, read, explained, compared; without a network, and safe to look at."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from agent.replay.gate import judged
from agent.replay.page import write_report
from agent.replay.results import ReplayResults, TimedTurn, read_results
from agent.replay.rows import ReplayedTool
from agent.replay.thresholds import OF_A_RUN, OF_TWO_RUNS, read_thresholds
from tests.browser.conftest import ARTEFACTS
from tests.data import shared
from tests.replays import finding, turn, write_run

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

_TURNS_OF_A_CONVERSATION = 20
_LEAST_CONTRAST = 4.5
_TAGS = {
    *(
        "A",
        "ARTICLE",
        "B",
        "BDI",
        "BUTTON",
        "CODE",
        "DD",
        "DEL",
        "DETAILS",
        "DIV",
        "DL",
        "DT",
        "FIGCAPTION",
        "FIGURE",
    ),
    *(
        "FORM",
        "H1",
        "H2",
        "H3",
        "H4",
        "HEADER",
        "INPUT",
        "INS",
        "KBD",
        "LABEL",
        "LI",
        "NAV",
        "OL",
        "OPTION",
        "P",
        "PRE",
    ),
    *("SECTION", "SELECT", "SPAN", "SUMMARY", "TABLE", "TBODY", "TD", "TH", "THEAD", "TR", "UL"),
    *("svg", "circle", "line", "polyline", "rect", "text", "title"),
}
_INSPECT = """() => [...document.querySelectorAll("main *")].reduce((found, node) => {
    found.tags.push(node.tagName);
    for (const {name} of node.attributes) if (name.startsWith("on") || name.includes("src")) found.attributes.push(name);
    if (node.hasAttribute("href")) found.links.push(node.getAttribute("href")[0]);
    return found;
}, {tags: [], attributes: [], links: []})"""
_NAMELESS = """() =>
    [...document.querySelectorAll("button, a, summary, input, select, [role=img], [role=group], [tabindex='0']")]
    .filter(node => !(node.getAttribute("aria-label") || node.labels?.length || node.textContent.trim()))
    .map(node => node.outerHTML)"""
_LOW_CONTRAST = """least => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const rgba = color => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = color;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const over = (top, below) => [0, 1, 2].map(n => top[n] * top[3] / 255 + below[n] * (1 - top[3] / 255));
    const behind = node => {
        const own = rgba(getComputedStyle(node).backgroundColor);
        return own[3] === 255 || !node.parentElement ? own : [...over(own, behind(node.parentElement)), 255];
    };
    const light = color => color.slice(0, 3).map(n => n / 255)
        .map(n => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4)
        .reduce((sum, n, place) => sum + n * [0.2126, 0.7152, 0.0722][place], 0);
    return [...document.querySelectorAll("main *")]
        .filter(node => node.checkVisibility() && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
        .filter(node => !node.closest("svg"))
        .map(node => [light(rgba(getComputedStyle(node).color)), light(behind(node)), node])
        .map(([ink, paper, node]) => [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), node])
        .filter(([ratio]) => ratio < least)
        .map(([ratio, node]) => `${ratio.toFixed(2)} ${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`);
}"""

_STEPS = (
    {"kind": "loaded", "at_ms": 0.9, "source": "sql", "history": 0},
    {
        "kind": "tool_called",
        "at_ms": 12.5,
        "tool": "search_knowledge",
        "found": [{"article": "returns", "title": "Returning a kettle", "cosine": 0.72}],
    },
)


def base_turns() -> Iterator[TimedTurn]:
    for number in range(30):
        yield turn(f"c{number}", recorded_reply="You have a month.", overlap=0.25, steps=_STEPS)
        yield turn(f"c{number}", 2, customer=f"And question {number}?", reply="It is **so** [1]")


def new_turns() -> Iterator[TimedTurn]:
    """c3 loses its citation, c5 leaks, c7 is Arabic and degraded, c9 gets no answer and is slower, c11 is handed over."""
    for each in base_turns():
        match each.conversation, each.turn:
            case "c3", 1:
                yield turn("c3", citations=(), reply="Within 14 days", steps=_STEPS)
            case "c5", 2:
                yield turn("c5", 2, reply="Traceback (most recent call last)", findings=(finding(),))
            case "c7", 1:
                yield turn(
                    "c7",
                    customer="أين طلبي؟",
                    reply="طلبك في الطريق",
                    degraded=("search:knowledge",),
                    faults=("knowledge:timeout",),
                )
            case "c9", 2:
                yield turn("c9", 2, error="timeout_error: no answer", reply="", citations=())
            case "c11", 1:
                yield turn("c11", handed_over=True, latency_ms=900.0, faults=("model:429",))
            case _:
                yield each


def report(
    folder: Path, new: ReplayResults, base: ReplayResults | None = None, *, most_turns: int = 10_000
) -> str:
    judgement = judged(
        new, base, read_thresholds(OF_TWO_RUNS if base else OF_A_RUN, has_base=base is not None), seed=1
    )
    write_report(folder / "report.html", new, base, judgement, most_turns=most_turns)
    return (folder / "report.html").as_uri()


@pytest.fixture
def one(tmp_path: Path) -> str:
    return report(
        tmp_path, write_run(tmp_path / "new", new_turns(), {"mode": "live", "versions": {"careline": "1.2"}})
    )


@pytest.fixture
def two(tmp_path: Path) -> str:
    return report(
        tmp_path, write_run(tmp_path / "new", new_turns()), write_run(tmp_path / "base", base_turns())
    )


@pytest_asyncio.fixture(loop_scope="session")
async def lonely(page: Page) -> AsyncIterator[Page]:
    """A page that may read its own file and ask for nothing else, and that says nothing in the console."""
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split("#")[0]))
    page.on("console", lambda line: said.append(line.text))
    yield page
    assert {url.rsplit("/", 1)[-1] for url in asked} == {"report.html"}
    assert said == []


def entries(page: Page) -> Any:
    return page.get_by_role("list", name="Conversations").get_by_role("button")


async def test_what_went_wrong_stands_first_and_leads_to_the_turn(lonely: Page, one: str) -> None:
    await lonely.goto(one)

    await expect(lonely.get_by_role("heading", name="2 thresholds are crossed")).to_be_visible()
    await lonely.get_by_role("link", name="c5, turn 2").click()
    shown = lonely.get_by_role("article", name="Conversation c5")
    await expect(shown.get_by_text("Traceback (most recent call last)")).to_be_in_viewport()
    await expect(shown.get_by_label("Turn 2").get_by_text("internal_text: Traceback")).to_be_visible()
    await expect(entries(lonely).first).to_contain_text("c5")
    await expect(entries(lonely).nth(1)).to_contain_text("c9")


async def test_words_are_searched_in_everything_that_was_said(lonely: Page, one: str) -> None:
    await lonely.goto(one)
    await expect(lonely.get_by_role("status")).to_have_text("30 conversations of 30")

    await lonely.get_by_label("Search").fill("QUESTION 17")
    await expect(lonely.get_by_role("status")).to_have_text("1 conversation of 30")
    await entries(lonely).click()
    await expect(lonely.get_by_role("article", name="Conversation c17")).to_contain_text("And question 17?")
    await lonely.get_by_label("Search").fill("nothing says this")
    await expect(entries(lonely)).to_have_count(0)
    await lonely.get_by_label("Search").press("Escape")
    await expect(entries(lonely)).to_have_count(30)


async def test_outcomes_and_faults_filter_the_conversations(lonely: Page, one: str) -> None:
    await lonely.goto(one)
    await expect(entries(lonely)).to_have_count(30)

    await lonely.get_by_label("Only with").select_option("outcome: handed over")
    await expect(entries(lonely)).to_have_count(1)
    await expect(entries(lonely)).to_contain_text("c11")
    await lonely.get_by_label("Only with").select_option("anything")
    await lonely.get_by_role("button", name="Show conversations with knowledge:timeout").click()
    await expect(entries(lonely)).to_have_count(1)
    await expect(entries(lonely)).to_contain_text("c7")


async def test_a_turn_is_explained_and_shown_beside_what_was_recorded(lonely: Page, one: str) -> None:
    await lonely.goto(f"{one}#cell=&conversation=c2&turn=1")
    first = lonely.get_by_label("Turn 1")

    await first.get_by_text("Why it was answered like this").click()
    await first.get_by_text("What was answered when it was recorded").click()

    await expect(first.get_by_text("tool called")).to_be_visible()
    await expect(first.get_by_text("Returning a kettle")).to_be_visible()
    await expect(first.get_by_text("You have a month.")).to_be_visible()
    await lonely.get_by_label("Turn 2").get_by_text("Why it was answered like this").click()
    await expect(lonely.get_by_text("Nothing was kept of this turn's steps.")).to_be_visible()


async def test_two_runs_stand_side_by_side_with_what_differs_marked(lonely: Page, two: str) -> None:
    await lonely.goto(two)

    await expect(lonely.get_by_role("heading", name="Replay compared")).to_be_visible()
    await lonely.get_by_label("Only with").select_option("lost citation")
    await entries(lonely).click()
    first = lonely.get_by_role("article", name="Conversation c3").get_by_label("Turn 1")
    await expect(first.get_by_text("no longer cites returns")).to_be_visible()
    assert await first.locator("del").all_text_contents() == [" 30", " [1]"]
    assert await first.locator("ins").all_text_contents() == [" 14"]
    await expect(lonely.get_by_label("Turn 2").get_by_text("the same in both runs")).to_be_visible()


async def test_it_is_used_by_keyboard_alone(lonely: Page, one: str) -> None:
    await lonely.goto(one)
    await expect(entries(lonely)).to_have_count(30)

    await lonely.keyboard.press("/")
    await expect(lonely.get_by_label("Search")).to_be_focused()
    await lonely.keyboard.press("ArrowDown")
    await lonely.keyboard.press("ArrowDown")
    await expect(entries(lonely).nth(1)).to_be_focused()
    await lonely.keyboard.press("Enter")
    await expect(lonely.get_by_role("article", name="Conversation c9")).to_be_focused()
    await expect(entries(lonely).nth(1)).to_have_attribute("aria-current", "true")


async def test_text_from_right_to_left_runs_so(lonely: Page, one: str) -> None:
    await lonely.goto(f"{one}#cell=&conversation=c7&turn=1")

    bubble = lonely.get_by_text("طلبك في الطريق")
    assert await bubble.evaluate("node => getComputedStyle(node).direction") == "rtl"
    await expect(lonely.get_by_label("Turn 2").get_by_text("It is **so** [1]")).to_have_css(
        "direction", "ltr"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["one", "two"])
async def test_everything_has_a_name_and_can_be_read(
    lonely: Page, request: pytest.FixtureRequest, kind: str, scheme: Any
) -> None:
    await lonely.emulate_media(color_scheme=scheme)
    await lonely.goto(request.getfixturevalue(kind))
    await expect(entries(lonely)).to_have_count(30)
    for conversation in ("c3", "c5", "c7", "c9", "c11"):
        await lonely.get_by_label("Search").fill(conversation)
        await lonely.evaluate(f"location.hash = 'cell=&conversation={conversation}'")
        await expect(lonely.get_by_role("article", name=f"Conversation {conversation}")).to_be_visible()
        await lonely.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        await expect(lonely.get_by_text("Unpacking …")).to_have_count(0)

        assert await lonely.evaluate(_LOW_CONTRAST, _LEAST_CONTRAST) == []
        assert await lonely.evaluate(_NAMELESS) == []
    ids = await lonely.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))
    ARTEFACTS.mkdir(exist_ok=True)
    await lonely.screenshot(path=ARTEFACTS / f"replay-report-{kind}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("width", [360, 760])
async def test_it_fits_narrow_windows(lonely: Page, two: str, width: int) -> None:
    await lonely.set_viewport_size({"width": width, "height": 800})
    await lonely.goto(f"{two}#cell=&conversation=c3&turn=1")
    await expect(lonely.get_by_text("no longer cites returns").last).to_be_visible()

    assert await lonely.evaluate("document.documentElement.scrollWidth") <= width


async def test_a_matrix_shows_what_came_of_each_fault(lonely: Page, tmp_path: Path) -> None:
    write_run(tmp_path / "run" / "cells" / "none", [turn()])
    cells = tmp_path / "run" / "cells"
    write_run(cells / "knowledge-timeout", [turn(degraded=("search:knowledge",))])
    write_run(cells / "<b>redis", [turn(error="timeout_error: x", reply="")])
    await lonely.goto(report(tmp_path, read_results(tmp_path / "run")))

    rows = (
        await lonely.get_by_role("region", name="Faults and what came of them")
        .get_by_role("row")
        .all_text_contents()
    )
    assert rows == [
        "faultturnsanswereddegradedhanded overnot answeredfindings",
        "<b>redis1···1 100 %·",
        "knowledge-timeout1·1 100 %···",
        "none11 100 %····",
    ]
    await lonely.get_by_label("Fault", exact=True).select_option("<b>redis")
    await entries(lonely).click()
    await expect(lonely.get_by_role("article").get_by_text("timeout_error: x")).to_be_visible()


async def test_above_its_limit_it_shows_the_gravest_and_says_what_is_left_out(
    lonely: Page, tmp_path: Path
) -> None:
    turns = [turn(f"c{number}", place) for number in range(6_000) for place in (1, 2)]
    turns[-1] = turn("c5999", 2, findings=(finding(),))
    await lonely.goto(report(tmp_path, write_run(tmp_path / "run", turns)))

    note = "10,000 turns of 5,000 conversations in which most went wrong; 2,000 turns of 1,000 other conversations are left out"
    await expect(lonely.get_by_text(note)).to_be_visible()
    await expect(lonely.get_by_role("status")).to_have_text("5,000 conversations of 5,000", timeout=20_000)
    await expect(entries(lonely).first).to_contain_text("c5999")
    await expect(entries(lonely)).to_have_count(200)
    await lonely.get_by_role("button", name="Show more").click()
    await expect(entries(lonely)).to_have_count(400)


def _hostile_turns() -> Iterator[TimedTurn]:
    payloads = []
    for file in ("xss_payloads", "naughty_strings", "web_payloads"):
        lines = shared(f"security/{file}.jsonl").read_text(encoding="utf-8").splitlines()
        payloads += [json.loads(line)["payload"] for line in lines[:: max(1, len(lines) // 100)]]
    payloads += ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "\u2028\u2029"]
    for place, text in enumerate(payloads):
        number = place % _TURNS_OF_A_CONVERSATION + 1
        yield turn(
            payloads[place - number + 1],
            number,
            customer=text,
            reply=text,
            recorded_reply=text,
            recorded_tools=(text,),
            citations=(text,),
            degraded=(text,),
            faults=(text,),
            tools=(ReplayedTool(text, text, text, {text: text}, {text: [text]}),),
            findings=(finding(text, text),),
            status=text,
            error=text if number == 1 else None,
            steps=({"kind": text, "at_ms": 1.0, text: text, "found": [{text: text}]},),
        )


@pytest.mark.data
@pytest.mark.parametrize("is_compared", [False, True])
async def test_hostile_recordings_stay_text(lonely: Page, tmp_path: Path, is_compared: bool) -> None:
    turns = list(_hostile_turns())
    facts = {each.customer: each.customer for each in turns[::40]}
    new = write_run(tmp_path / "new", turns, facts)
    base = (
        write_run(tmp_path / "base", [turn(each.conversation, each.turn) for each in turns], facts)
        if is_compared
        else None
    )
    await lonely.goto(report(tmp_path, new, base))
    names = list(dict.fromkeys(each.conversation for each in turns))
    await expect(lonely.get_by_role("status")).to_have_text(f"{len(names)} conversations of {len(names)}")

    for name in names:
        await lonely.evaluate(
            "name => { location.hash = new URLSearchParams({cell: '', conversation: name}); }", name
        )
        await lonely.wait_for_function(
            "name => document.querySelector('.chat h3')?.textContent === name", arg=name
        )
        await lonely.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        await expect(lonely.get_by_text("Unpacking …")).to_have_count(0)
        found = await lonely.evaluate(_INSPECT)
        assert set(found["tags"]) <= _TAGS
        assert found["attributes"] == []
        assert set(found["links"]) == {"#"}
        said = await lonely.locator(".bubble.customer").all_text_contents()
        assert said == [each.customer for each in turns if each.conversation == name]
