"""
Every way in which a call to an MCP server can fail, in Careline's words.

In doubt a call was carried out: only what the server refused, or what never left us, was not.
"""

from collections.abc import Sequence

from core.errors import (
    CarelineError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
    ToolMisconfigured,
)

_SESSION_GONE = "Session terminated"
"""What the MCP library says where a server answers 404: it was started anew, and knows no session of before."""


def is_broken(exc: Exception) -> bool:
    """Whether the connection is gone, so that another has to be opened."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import CONNECTION_CLOSED

    if isinstance(exc, MCPError):
        return exc.code == CONNECTION_CLOSED or exc.message == _SESSION_GONE
    return isinstance(exc, _broken_streams())


def _broken_streams() -> tuple[type[Exception], ...]:
    import anyio

    return (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, ConnectionError)


# One line per way to fail is the shortest way to write this table.
def translated(dependency: str, exc: Exception, statuses: Sequence[int] = ()) -> CarelineError:  # noqa: PLR0911
    """`statuses` are those of the HTTP answers that came during the call, the last one counts."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_TIMEOUT

    if isinstance(exc, CarelineError):
        return exc
    if isinstance(exc, _broken_streams()):
        return NetworkFailed(dependency, f"{dependency}: the connection broke", may_have_happened=True)
    if not isinstance(exc, MCPError):
        # A result that is not what the protocol, or the tool's own output schema, says.
        return ExternalApiFailed(
            dependency, f"{dependency}: unreadable answer", reason="unreadable_answer", may_have_happened=True
        )
    match statuses[-1] if statuses else 0:
        case 401:
            return DependencyRefusedUs(dependency, f"{dependency}: answered 401")
        case 403:
            return DependencyForbidsUs(dependency, f"{dependency}: answered 403")
        case 429:
            return RateLimited(f"{dependency}: answered 429", dependency=dependency)
        case 503:
            return DependencyUnavailable(dependency, f"{dependency}: answered 503")
    match exc.code:
        case code if code == CONNECTION_CLOSED:
            return NetworkFailed(dependency, f"{dependency}: the connection broke", may_have_happened=True)
        case code if code == REQUEST_TIMEOUT:
            return DependencyTimeout(dependency, f"{dependency}: no answer in time", may_have_happened=True)
        case code if code == INVALID_PARAMS:
            return DependencyRejectedInput(dependency, f"{dependency}: refuses the arguments")
        case code if code == METHOD_NOT_FOUND:
            return ToolMisconfigured(f"{dependency}: knows no such call", reason="not_offered")
    return ExternalApiFailed(dependency, f"{dependency}: error {exc.code}", may_have_happened=True)
