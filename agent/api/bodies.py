"""
Read a request's body as JSON without trusting its size, its type or its shape.
"""

import json
import math
import re
from typing import Any, NoReturn

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from agent.api.problems import UnsupportedMediaType
from core.errors import FieldError, InvalidInput, TooLarge, ValidationFailed

BODY_BYTES = 128 * 1024
"""
8,000 characters beyond the basic plane, written as JSON escapes, are 96,000 bytes; the rest is for the other
fields.
"""

METADATA_BYTES = 4096
_METADATA_DEPTH = 16
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


async def read_json(request: Request, *, most_bytes: int = BODY_BYTES) -> dict[str, Any]:
    """
    The body as a JSON object.

    Raises:
        UnsupportedMediaType: it does not say that it is JSON in UTF-8.
        TooLarge: raised before more than `most_bytes` were read.
        InvalidInput: it is not JSON, or not an object.
    """
    _check_media_type(request.headers.get("content-type", ""))
    raw = await _read(request, most_bytes)
    try:
        document = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique_names, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise InvalidInput("The body is nested too deeply.", reason="nested_too_deeply") from None
    except ValueError:
        # The decoder's own message quotes the body.
        raise InvalidInput("The body is not valid JSON in UTF-8.") from None
    if not isinstance(document, dict):
        raise InvalidInput("The body must be a JSON object.")
    return document


def validated(model: type[BaseModel], document: dict[str, Any]) -> Any:
    """
    Raises:
        ValidationFailed: with every field that is wrong, none of their values.
    """
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        fields = tuple(FieldError(("body", *each["loc"]), each["msg"], each["type"]) for each in found)
        raise ValidationFailed("A field of the body is wrong.", fields=fields) from None


class Body(BaseModel):
    """A request's body: strict types, no unknown fields."""

    model_config = {"extra": "forbid", "strict": True, "frozen": True}


def storable(text: str) -> str:
    """Text that every database keeps byte for byte."""
    if _UNSTORABLE.search(text):
        raise PydanticCustomError("unstorable_character", "NUL and lone surrogates cannot be stored")
    return text


def storable_object(value: dict[str, Any], *, most_bytes: int = METADATA_BYTES) -> dict[str, Any]:
    """An object of at most so many bytes as JSON, made of what JSON, msgpack and SQL all carry."""
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        part, depth = pending.pop()
        if depth > _METADATA_DEPTH:
            raise PydanticCustomError("nested_too_deeply", "At most 16 levels of nesting are kept")
        if isinstance(part, dict):
            pending += ((item, depth + 1) for item in part.values())
            pending += ((name, depth) for name in part)
        elif isinstance(part, list):
            pending += ((item, depth + 1) for item in part)
        elif isinstance(part, str):
            storable(part)
        elif isinstance(part, float) and not math.isfinite(part):
            raise PydanticCustomError("number_too_large", "Numbers must fit a 64-bit float")
        elif isinstance(part, int) and not -(2**63) <= part < 2**63:
            raise PydanticCustomError("number_too_large", "Integers must fit 64 bits")
    if len(orjson.dumps(value)) > most_bytes:
        raise PydanticCustomError(
            "object_too_large", "At most {most_bytes} bytes of JSON are kept", {"most_bytes": most_bytes}
        )
    return value


def _check_media_type(header: str) -> None:
    media_type, *parameters = (part.strip().lower() for part in header.split(";"))
    charsets = [each.partition("=")[2].strip('"') for each in parameters if each.startswith("charset=")]
    if media_type != "application/json" or any(charset not in ("utf-8", "utf8") for charset in charsets):
        raise UnsupportedMediaType("Send Content-Type: application/json, in UTF-8.")


async def _read(request: Request, most_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > most_bytes:
        _refuse_size(most_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            _refuse_size(most_bytes)
    return bytes(body)


def _refuse_size(most_bytes: int) -> NoReturn:
    raise TooLarge(f"The body may have {most_bytes} bytes at most.")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name is given twice")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
