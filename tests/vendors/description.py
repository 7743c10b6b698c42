"""
A vendor's own description of its API, and whether a request or an answer keeps to it.

Loading a large one takes a second, so each is loaded once and cut to the operations that are asked for.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

# The stubs are not installed, and one call is made.
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "openapi"
_HOST = "https://vendor.test"
_SHOWN = 400
_UNLISTED = "Unknown response http status"


class Description:
    """`problem_of_request` and `problem_of_answer` return None for what keeps to it, else what is wrong."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._api = OpenAPI.from_dict(dict(document), config=Config(spec_validator_cls=None))

    def problem_of_request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> str | None:
        return _problem(lambda: self._api.validate_request(_request(method, path, query, headers, body)))

    def problem_of_answer(self, method: str, path: str, status: int, body: bytes) -> str | None:
        """A failure that the description does not list is none of its business."""
        asked = _request(method, path, {}, {}, b"")
        problem = _problem(lambda: self._api.validate_response(asked, MockResponse(body, status)))
        return None if status >= 400 and problem is not None and _UNLISTED in problem else problem


@functools.cache
def document(file: str, *paths: str) -> dict[str, Any]:
    """Skips the test where the file is not there. `paths` are those of the description, as it writes them."""
    place = _FOLDER / file
    if not place.exists():
        pytest.skip(f"../shared/openapi/{file} not found")
    text = place.read_text(encoding="utf-8")
    whole = json.loads(text) if place.suffix == ".json" else yaml.load(text, Loader=yaml.CSafeLoader)
    return cut(whole, paths)


@functools.cache
def description(file: str, *paths: str) -> Description:
    return Description(document(file, *paths))


def cut(document: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """The paths, whatever they refer to, and nothing else; at an address of its own."""
    kept = {path: document["paths"][path] for path in paths}
    components: dict[str, dict[str, Any]] = {}
    waiting = list(_references(kept))
    while waiting:
        kind, name = waiting.pop()
        if name in components.setdefault(kind, {}):
            continue
        components[kind][name] = document["components"][kind][name]
        waiting += _references(components[kind][name])
    if schemes := document["components"].get("securitySchemes"):
        components["securitySchemes"] = schemes
    return {
        "openapi": document["openapi"],
        "info": {"title": "cut", "version": "1"},
        "servers": [{"url": _HOST}],
        "security": document.get("security", []),
        "paths": kept,
        "components": components,
    }


def _references(part: object) -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        target = part.get("$ref")
        if isinstance(target, str):
            _, _, kind, name = target.split("/")
            yield kind, name
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _request(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> MockRequest:
    content_type = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    return MockRequest(
        _HOST, method, path, args=dict(query), headers=dict(headers), data=body, content_type=content_type
    )


def _problem(check: Callable[[], None]) -> str | None:
    try:
        check()
    except OpenAPIError as exc:
        told: list[str] = []
        link: BaseException | None = exc
        while link is not None:
            told.append(str(link).partition("\n")[0][:_SHOWN])
            link = link.__cause__
        return " / ".join(told)
    return None
