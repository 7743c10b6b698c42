"""
A tool as its server declares it: under which name models see it, what they are told, and the digest by which a change shows.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tools.mcp.cleaning import cleaned

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 1_000
_LONGEST_SCHEMA = 32_768


def name_for_models(server: str, tool: str) -> str:
    """`server__tool`, which every model's API takes: `[a-zA-Z0-9_-]{1,64}`. Different tools get different names."""
    plain = _NOT_IN_A_NAME.sub("_", tool)
    name = f"{server}__{plain}"
    if plain == tool and len(name) <= _LONGEST_NAME:
        return name
    mark = hashlib.sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - len(mark) - 1]}_{mark}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTool:
    """`digest` covers everything that a model or a caller goes by: 64 hexadecimal digits."""

    name: str
    title: str
    description: str
    input_schema: Mapping[str, Any]
    digest: str

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "DeclaredTool":
        """`told` is one entry of `tools/list`, as JSON. Raises ValueError where its schema is too large to be used."""
        schema = told["inputSchema"]
        if len(msgspec.json.encode(schema)) > _LONGEST_SCHEMA:
            raise ValueError(f"its schema is longer than {_LONGEST_SCHEMA} bytes")
        covered = {
            key: told.get(key)
            for key in ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
        }
        title = told.get("title") or (told.get("annotations") or {}).get("title") or told["name"]
        return cls(
            name=told["name"],
            title=cleaned(title, most=80),
            description=cleaned(told.get("description") or title, most=_LONGEST_DESCRIPTION),
            input_schema=schema,
            digest=hashlib.sha256(msgspec.json.encode(covered, order="sorted")).hexdigest(),
        )

    def parameters(self, *, without: frozenset[str]) -> Mapping[str, Any]:
        """The JSON Schema of what a model may give."""
        schema = dict(self.input_schema)
        schema["properties"] = {
            key: value for key, value in (schema.get("properties") or {}).items() if key not in without
        }
        if "required" in schema:
            schema["required"] = [key for key in schema["required"] if key not in without]
        return schema
