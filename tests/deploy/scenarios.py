"""
Deploys that are disturbed: a first one, a change of what stands, and one that the plane refuses near its end, which takes back.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx

from agent.deploy.folder import held
from agent.deploy.http_plane import HttpPlane, make_plane_client
from agent.deploy.outcome import Observer, Outcome, Result
from agent.deploy.reading import read_declaration
from agent.deploy.run import Deploy, Wishes
from core.clock import SystemClock
from core.resilience.retry import RetryPolicy
from tests.deploy.plane_content import Content, by_name, content_of, empty

QUICK = RetryPolicy(attempts=3, base_seconds=0.01, longest_seconds=0.02)
_TIMEOUT_SECONDS = 0.8

SHOP = """\
classes:
  support: {description: Answers customers}
providers:
  spare:
    api_base_url: http://127.0.0.1:9/v1
    config: {api_key: env:SHOP_MODEL_KEY, timeout: 20}
tools:
  search_knowledge: {json_schema: {type: object}}
  open_ticket: {json_schema: {type: object}, risk_level: medium}
prompts:
  tone: {content: Be kind., class: support, status: published}
definitions:
  agent:
    class: support
    prompt: tone
    tools: [search_knowledge, open_ticket]
    status: published
deployments:
  live: {definition: agent, config: {traffic_share: 50}}
"""
CHANGED = (
    SHOP.replace("Be kind.", "Be brief.")
    .replace("Answers customers", "Sells")
    .replace("timeout: 20", "timeout: 5")
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`before` is deployed undisturbed, then `file`; `refuses` is a kind of which the plane takes no new one."""

    name: str
    before: str | None
    file: str
    refuses: str | None = None


SCENARIOS = (
    Scenario("a first deploy", None, SHOP),
    Scenario("a change of what stands", SHOP, CHANGED),
    Scenario("a change that is refused", SHOP, CHANGED, refuses="deployments"),
)


async def deploy(
    url: str, folder: Path, text: str, *, policy: RetryPolicy = QUICK, observer: Observer | None = None
) -> Outcome:
    file = written(folder, text)
    clock = SystemClock()
    with held(folder / "state"):
        async with make_plane_client(url, key=None, timeout_seconds=_TIMEOUT_SECONDS) as client:
            running = Deploy(
                read_declaration(file),
                HttpPlane(client, clock=clock, policy=policy),
                folder / "state",
                clock=clock,
                wishes=Wishes(wait_seconds=30.0),
                observer=observer,
            )
            return await running.run()


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.yaml").write_text(text, encoding="utf-8")
    return folder / "shop.yaml"


class Stage:
    """One plane, whose `url` is not disturbed, and a folder that each trial has anew."""

    def __init__(self, url: str, client: httpx.AsyncClient, folder: Path) -> None:
        self.url = url
        self.client = client
        self.folder = folder

    async def set(self, scenario: Scenario) -> Content:
        """What the plane has before the disturbed deploy."""
        await empty(self.client)
        clear(self.folder)
        if scenario.before is not None:
            outcome = await deploy(self.url, self.folder, scenario.before)
            assert outcome.exit_code == 0, outcome
        return await content_of(self.client)

    async def applied(self, scenario: Scenario) -> Content:
        """What it has after undisturbed deploys."""
        await self.set(scenario)
        outcome = await deploy(self.url, self.folder, scenario.file)
        assert outcome.result is Result.APPLIED, outcome
        return by_name(await content_of(self.client))


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
