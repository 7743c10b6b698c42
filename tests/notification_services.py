"""
The providers' own descriptions of notifications, against which each request is held.
"""

import base64
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest

from tests.http_faults import Asked

_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "openapi"


def twilio_problem(asked: Asked) -> str | None:
    """What Twilio's description says against a request; None where it keeps to it."""
    return _problem(_twilio(), "https://api.twilio.com", asked)


def sendgrid_problem(asked: Asked) -> str | None:
    """The same for SendGrid, whose Swagger 2 is brought into OpenAPI 3 for the operations that are used."""
    return _problem(_sendgrid(), "https://api.sendgrid.com", asked)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _problem(api: OpenAPI, host: str, asked: Asked) -> str | None:
    request = MockRequest(
        host,
        asked.method,
        asked.path,
        args=asked.query,
        headers=dict(asked.headers),
        data=asked.body,
        content_type=asked.headers.get("content-type", ""),
    )
    try:
        api.validate_request(request)
    except OpenAPIError as exc:
        return f"{exc} {exc.__cause__}"
    return None


@functools.cache
def _twilio() -> OpenAPI:
    return _api(twilio_document())


@functools.cache
def _sendgrid() -> OpenAPI:
    return _api(sendgrid_document())


def twilio_document() -> dict[str, Any]:
    whole = _document("twilio_api_v2010.json")
    path = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
    return {**whole, "paths": {path: whole["paths"][path]}}


def sendgrid_document() -> dict[str, Any]:
    """`body` becomes the request's body, plain parameters get a schema, `definitions` move; the basePath goes to the server."""
    whole = _document("sendgrid-oai.json")
    used = (
        ("/mail/send", "post"),
        ("/suppression/bounces", "get"),
        ("/suppression/invalid_emails", "get"),
        ("/scopes", "get"),
    )
    return {
        "openapi": "3.0.3",
        "info": {"title": "SendGrid", "version": "3"},
        "servers": [{"url": f"https://{whole['host']}{whole['basePath']}"}],
        "paths": {path: {verb: _operation(whole["paths"][path][verb])} for path, verb in used},
        "components": {"schemas": whole["definitions"]},
    }


def _operation(old: Mapping[str, Any]) -> dict[str, Any]:
    new: dict[str, Any] = {"parameters": [], "responses": {"default": {"description": "any"}}}
    for parameter in old["parameters"]:
        if parameter.get("in") == "body":
            new["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": parameter["schema"]}},
            }
        elif "name" in parameter:
            schema = {
                key: parameter[key] for key in ("type", "enum", "minimum", "maximum") if key in parameter
            }
            new["parameters"].append(
                {key: parameter[key] for key in ("name", "in", "required") if key in parameter}
                | {"schema": schema}
            )
    return new


def _document(name: str) -> dict[str, Any]:
    place = _FOLDER / name
    if not place.exists():
        pytest.skip(f"../shared/openapi/{name} not found")
    whole: dict[str, Any] = json.loads(
        place.read_text(encoding="utf-8").replace("#/definitions/", "#/components/schemas/")
    )
    return whole


def _api(document: Mapping[str, Any]) -> OpenAPI:
    return OpenAPI.from_dict(dict(document), config=Config(spec_validator_cls=None))
