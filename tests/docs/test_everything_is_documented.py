"""What operators and clients meet has its place in the docs, and the README's first request works as it stands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core import errors
from core.errors import CarelineError
from core.telemetry.metrics import Metrics
from tests.careline_process import CarelineProcess

ROOT = Path(__file__).parents[2]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarelineProcess]:
    with CarelineProcess(tmp_path_factory.mktemp("docs")) as process:
        yield process


def test_every_metric_is_documented() -> None:
    names = [
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in Metrics().registry.collect()
    ]

    assert [name for name in names if f"`{name}`" not in text_of("docs/operations.md")] == []


def test_every_error_code_is_documented() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CarelineError)
    ]

    assert sorted({kind.code for kind in kinds if kind.code not in text_of("docs/api.md")}) == []


def test_every_route_is_documented(service: CarelineProcess) -> None:
    routes = httpx.get(f"{service.url}/openapi.json").json()["paths"]

    undocumented = [
        route
        for route in routes
        if re.sub(r"\{\w+\}", "{id}", route).removeprefix("/v1") not in _named_routes()
    ]
    assert undocumented == []


def _named_routes() -> str:
    """docs/api.md with ids written one way, and the second of two routes completed."""
    page = re.sub(r"\{\w+\}", "{id}", text_of("docs/api.md"))
    return page.replace("`/messages`", "`/conversations/{id}/messages`")


def test_the_readmes_first_request_is_answered(service: CarelineProcess) -> None:
    body = re.search(r"-d '(\{.*?\})'", text_of("README.md"))
    assert body is not None

    answer = httpx.post(f"{service.url}/v1/chat", json=json.loads(body.group(1)))

    assert answer.status_code == 200
    assert answer.json()["reply"]["text"]


def test_the_readme_links_to_what_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text_of("README.md"))

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_names_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), flags=re.MULTILINE))

    assert set(re.findall(r"`?make ([a-z]+)", text_of("README.md"))) <= targets


def test_every_step_of_an_explained_turn_is_documented() -> None:
    kinds = {
        kind
        for package in ("agent", "core", "tools", "state")
        for path in (ROOT / package).rglob("*.py")
        for kind in re.findall(r"(?<![\w.])note\(\s*\"(\w+)\"", path.read_text(encoding="utf-8"))
    }

    assert len(kinds) > 10
    assert sorted(kind for kind in kinds if f"`{kind}`" not in text_of("docs/explain.md")) == []
