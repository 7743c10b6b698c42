"""GitHub, as far as issues of one repository are opened and listed: its REST API."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.vendors.description import description
from tests.vendors.server import Answer, Asked, VendorServer

KEY = "github-key-0123456789"
REPOSITORY = "shop/support"
_API = "https://api.github.com"
_ISSUES = f"/repos/{REPOSITORY}/issues"
_BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Github(VendorServer):
    def __init__(self) -> None:
        super().__init__(description("github-issues-slice.json", "/repos/{owner}/{repo}/issues"))
        self.issues: list[dict[str, Any]] = []
        self.drops_labels = False

    @property
    def subjects(self) -> list[str]:
        return [issue["title"] for issue in self.issues]

    def makes_something(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def handle(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != f"Bearer {KEY}" or asked.path != _ISSUES:
            return Answer(404, {"message": "Not Found"})
        return self._create(asked.json) if asked.method == "POST" else self._list(asked)

    def _create(self, wanted: dict[str, Any]) -> Answer:
        number = len(self.issues) + 1
        at = (_BEGAN + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
        labels = [] if self.drops_labels else wanted.get("labels", [])
        place = f"{_API}{_ISSUES}/{number}"
        issue = {
            "id": 7000 + number,
            "node_id": f"I_{number}",
            "number": number,
            "title": wanted["title"],
            "body": wanted.get("body"),
            "state": "open",
            "locked": False,
            "labels": [{"id": 1, "name": name, "color": "ededed", "default": False} for name in labels],
            "user": None,
            "assignee": None,
            "milestone": None,
            "comments": 0,
            "closed_at": None,
            "created_at": at,
            "updated_at": at,
            "url": place,
            "repository_url": f"{_API}/repos/{REPOSITORY}",
            "labels_url": f"{place}/labels{{/name}}",
            "comments_url": f"{place}/comments",
            "events_url": f"{place}/events",
            "html_url": f"https://github.com/{REPOSITORY}/issues/{number}",
        }
        self.issues.append(issue)
        return Answer(201, issue)

    def _list(self, asked: Asked) -> Answer:
        query = asked.query
        wanted = set(filter(None, query.get("labels", "").split(",")))
        states = {"open", "closed"} if query.get("state") == "all" else {query.get("state", "open")}
        found = [
            issue
            for issue in reversed(self.issues)
            if wanted <= {label["name"] for label in issue["labels"]} and issue["state"] in states
        ]
        number, size = int(query.get("page", 1)), int(query.get("per_page", 30))
        return Answer(200, found[(number - 1) * size : number * size])
