"""A file that declares one of everything, and a deploy of it in memory."""

from pathlib import Path

from agent.deploy.folder import held
from agent.deploy.outcome import Outcome
from agent.deploy.reading import read_declaration
from agent.deploy.run import Deploy, Wishes
from core.clock import Clock, SystemClock
from tests.unit.deploy.memory_plane import MemoryPlane

SHOP = """\
classes:
  support:
    description: Answers customers
providers:
  local:
    api_base_url: http://127.0.0.1:9/v1
    config: {api_key: env:SHOP_MODEL_KEY, timeout: 20}
tools:
  search_knowledge:
    json_schema: {type: object}
  open_ticket:
    json_schema: {type: object}
    risk_level: medium
prompts:
  tone:
    content: Be kind.
    class: support
    status: published
definitions:
  agent:
    class: support
    prompt: tone
    provider: local
    model_name: small
    tools: [search_knowledge, open_ticket]
    status: published
deployments:
  live:
    definition: agent
    config: {traffic_share: 50}
"""


async def deploy(
    plane: MemoryPlane, folder: Path, text: str = SHOP, *, clock: Clock | None = None, **wishes: object
) -> Outcome:
    """`folder` is made where it is not there."""
    file, state = written(folder, text), folder / "state"
    with held(state):
        running = Deploy(
            read_declaration(file),
            plane,
            state,
            clock=clock or SystemClock(),
            wishes=Wishes(**{"wait_seconds": 5.0, **wishes}),  # type: ignore[arg-type]
        )
        return await running.run()


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    return file
