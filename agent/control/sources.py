"""
Where tools can be discovered: an allow-list of names, never something that a caller brings.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.models.base import ToolSpec
from core.errors import FieldError, ValidationFailed

Source = Callable[[], Awaitable[Sequence[ToolSpec]]]


class ToolSources:
    """`sources` by name: `careline` for its own tools, and each configured MCP server."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)

    async def tools(self, source: str) -> Sequence[ToolSpec]:
        """
        Raises:
            ValidationFailed: no such source is allowed.
        """
        if source not in self._sources:
            known = ", ".join(sorted(self._sources)) or "none"
            field = FieldError(
                ("body", "source"), f"Not an allowed source; there are: {known}", "unknown_source"
            )
            raise ValidationFailed("A field of the body is wrong.", fields=(field,))
        return await self._sources[source]()
