"""Where what the library says and expects differs from what the service documents."""

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import httpx

Document = Mapping[str, Any]


def drift_of_request(request: httpx.Request, document: Document, *, prefix: str) -> list[str]:
    """Of a route: the path, the method, the names of its query."""
    path = request.url.path.removeprefix(prefix)
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            operation = operations.get(request.method.lower())
            if operation is None:
                return [f"{request.method} {template}: no such method"]
            known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
            return [
                f"{request.method} {template}: no query {name}"
                for name in request.url.params
                if name not in known
            ]
    return [f"{request.method} {path}: no such path"]


def drift_of_type(typed: Any, schema_name: str, document: Document, *, is_sent: bool) -> list[str]:
    """Of a body: each field, whether it must be there, and its type. What is sent must be accepted, what is read expected."""
    schema = document["components"]["schemas"].get(schema_name)
    if schema is None:
        return [f"{schema_name}: no such schema"]
    return list(_object(typed, schema, schema_name, document, is_sent))


def _object(typed: Any, schema: Document, place: str, document: Document, is_sent: bool) -> Iterator[str]:
    known = schema.get("properties", {})
    required = set(schema.get("required", ()))
    for name, hint in get_type_hints(typed).items():
        if name not in known:
            yield f"{place}.{name}: no such field"
            continue
        if not is_sent and name in typed.__required_keys__ and name not in required | _filled(known):
            yield f"{place}.{name}: may be left out"
        yield from _drift(hint, known[name], f"{place}.{name}", document, is_sent)
    if is_sent and typed.__required_keys__:
        for name in sorted(required - typed.__required_keys__):
            yield f"{place}.{name}: is required"


def _filled(properties: Document) -> set[str]:
    return {name for name, schema in properties.items() if "default" in schema}


def _drift(hint: Any, schema: Document, place: str, document: Document, is_sent: bool) -> Iterator[str]:
    if hint is Any:
        return
    hints = list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]
    schemas = _alternatives(schema, document)
    for given in hints if is_sent else schemas:
        others = schemas if is_sent else hints
        if not any(
            _fits(*((given, other) if is_sent else (other, given)), place, document, is_sent)
            for other in others
        ):
            yield f"{place}: {given} does not fit {others}"


def _alternatives(schema: Document, document: Document) -> list[Document]:
    schema = _resolved(schema, document)
    return [
        each for alternative in schema.get("anyOf", [schema]) for each in [_resolved(alternative, document)]
    ]


def _resolved(schema: Document, document: Document) -> Document:
    if "$ref" not in schema:
        return schema
    found: Document = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _fits(hint: Any, schema: Document, place: str, document: Document, is_sent: bool) -> bool:
    told = schema.get("type", "string" if "enum" in schema else None)
    if hint is NoneType:
        return bool(told == "null")
    if get_origin(hint) is Literal:
        names, allowed = set(get_args(hint)), set(schema.get("enum", ()))
        return names <= allowed if is_sent else bool(allowed) and allowed <= names
    if is_typeddict(hint):
        return told == "object" and not list(_object(hint, schema, place, document, is_sent))
    if get_origin(hint) is list:
        inner = schema.get("items", {})
        return told == "array" and not list(_drift(get_args(hint)[0], inner, place, document, is_sent))
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object"}
    return bool(told == kinds[get_origin(hint) or hint])
