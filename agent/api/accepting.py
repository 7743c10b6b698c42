"""
Choose the form of an answer by the request's Accept header.
"""

from collections.abc import Sequence

from starlette.requests import Request

from agent.api.problems import NotAcceptable

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


def chosen_form(request: Request, offered: Sequence[str]) -> str:
    """
    The offered media type that the caller likes best; the first where there is no difference.

    Raises:
        NotAcceptable: none of them will do.
    """
    header = request.headers.get("accept")
    if header is None or header == "*/*":
        return offered[0]
    ranges = [_range(part) for part in header.split(",")]
    best, best_weight = offered[0], 0.0
    for form in offered:
        weight = _weight(form, ranges)
        if weight > best_weight:
            best, best_weight = form, weight
    if best_weight == 0.0:
        raise NotAcceptable(f"This route answers {' or '.join(offered)}.")
    return best


def _weight(form: str, ranges: Sequence[tuple[str, float]]) -> float:
    kind = form.partition("/")[0]
    for wanted in (form, f"{kind}/*", "*/*"):  # the most specific range decides
        weights = [weight for name, weight in ranges if name == wanted]
        if weights:
            return max(weights)
    return 0.0


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                weight = 0.0
    return name, weight
