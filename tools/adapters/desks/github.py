"""
Help desk: the issues of one GitHub repository, by its REST API.

GitHub knows no key: each issue carries a label made of it, and one made of its customer. The list of issues of a label, unlike
GitHub's search, shows a new issue at once.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

import httpx
import msgspec

from core.errors import RateLimited
from core.http import parse_retry_after
from core.records import NewTicket, Recognition, Ticket, TicketStatus
from core.telemetry.logging import get_logger
from tools.adapters.desks.marks import LABEL, Marks, owner_mark, read_text, text_with_foot, ticket_mark
from tools.adapters.desks.wire import DEPENDENCY, MOST_PAGES, DeskWire, raise_for_desk

HEADERS: Mapping[str, str] = {
    "Accept": "application/vnd.github+json, application/json;q=0.9",
    "X-GitHub-Api-Version": "2022-11-28",
}
_PAGE = 100

_log = get_logger(__name__)


class _Label(msgspec.Struct, frozen=True):
    name: str | None = None


class _Issue(msgspec.Struct, frozen=True):
    number: int
    title: str
    state: str
    created_at: datetime
    updated_at: datetime
    body: str | None = None
    labels: tuple[_Label | str, ...] = ()
    pull_request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def has_label(self, wanted: str) -> bool:
        return any((label if isinstance(label, str) else label.name) == wanted for label in self.labels)


class GithubTicketDesk:
    """
    Implements `tools.ports.TicketDesk`. `repository` is `OWNER/NAME`; `client` sends a token that may write its issues and
    labels as bearer.
    """

    recognition = Recognition.LOOKUP
    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, client: httpx.AsyncClient, *, repository: str, page: int = _PAGE) -> None:
        self._wire = DeskWire(client, check=_raise_for_github)
        self._issues = f"/repos/{repository}/issues"
        self._page = page

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        marks = Marks.of(tenant, ticket)
        made = await self._wire.write(
            self._issues,
            _Issue,
            body={
                "title": ticket.subject,
                "body": text_with_foot(tenant, ticket),
                "labels": [LABEL, marks.ticket, marks.owner],
            },
        )
        if not (made.has_label(marks.ticket) and made.has_label(marks.owner)):
            # GitHub drops labels in silence for a token without push access. The next lost answer would open a second one.
            _log.error("desk.labels_dropped", reference=f"#{made.number}", receipt=ticket.receipt)
        return _ticket(made, ticket.customer_id)

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        mark = ticket_mark(tenant, key)
        same = [issue async for issue in self._labelled(mark) if _mark_of(issue) == mark]
        oldest = min(same, key=lambda issue: issue.number, default=None)
        return None if oldest is None else _ticket(oldest, None)

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        own: list[Ticket] = []
        async for issue in self._labelled(owner_mark(tenant, customer_id)):
            own.append(_ticket(issue, customer_id))
            if len(own) == limit:
                break
        return tuple(own)

    async def probe(self) -> None:
        """Whether the repository is there and lets us in."""
        await self._wire.read(self._issues, tuple[_Issue, ...], params={"per_page": 1})

    async def _labelled(self, mark: str) -> AsyncIterator[_Issue]:
        """Newest first. Pull requests are issues to GitHub, and none of ours."""
        for number in range(1, MOST_PAGES + 1):
            page = await self._wire.read(
                self._issues,
                tuple[_Issue, ...],
                params={
                    "labels": mark,
                    "state": "all",
                    "sort": "created",
                    "direction": "desc",
                    "per_page": self._page,
                    "page": number,
                },
            )
            for issue in page:
                if issue.pull_request is msgspec.UNSET and issue.has_label(mark):
                    yield issue
            if len(page) < self._page:
                return


def _raise_for_github(answer: httpx.Response) -> None:
    """A spent rate limit comes as 403, too, and is nobody's lack of rights."""
    if answer.status_code == 403:
        headers = answer.headers
        now = datetime.now(UTC)
        wait = parse_retry_after(headers.get("retry-after"), now=now)
        if wait is None and headers.get("x-ratelimit-remaining") == "0":
            reset = headers.get("x-ratelimit-reset", "")
            wait = max(0.0, int(reset) - now.timestamp()) if reset.isascii() and reset.isdigit() else 60.0
        if wait is not None:
            raise RateLimited(f"{DEPENDENCY}: rate limit spent", dependency=DEPENDENCY, retry_after=wait)
    raise_for_desk(answer)


def _mark_of(issue: _Issue) -> str | None:
    read = read_text(issue.body or "")
    return None if read is None else read.marks.ticket


def _ticket(issue: _Issue, customer_id: str | None) -> Ticket:
    body = issue.body or ""
    read = read_text(body)
    return Ticket(
        reference=f"#{issue.number}",
        receipt=read.receipt if read else "",
        customer_id=customer_id,
        subject=issue.title,
        description=read.description if read else body,
        status=TicketStatus.OPEN if issue.state == "open" else TicketStatus.SOLVED,
        created_at=issue.created_at,
        updated_at=issue.updated_at,
    )
