"""
Jira Cloud, as far as issues are created and searched: its REST API v3.

The description that we have is older than `/rest/api/3/search/jql`, by which Atlassian replaced `/rest/api/3/search` in 2025.
`has_new_search` adds it, after Atlassian's page: the old one's parameters with `nextPageToken` for `startAt`, and no `total`.
"""

import base64
import copy
import re
from datetime import datetime, timedelta
from typing import Any

from tests.vendors.description import Description, document
from tests.vendors.server import Answer, Asked, VendorServer

USER = "agent@shop.example"
KEY = "jira-key-0123456789"
PROJECT = "SUP"
_ALLOWED = "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()
_ISSUE, _SEARCH, _NEW_SEARCH = "/rest/api/3/issue", "/rest/api/3/search", "/rest/api/3/search/jql"
_BEGAN = datetime(2026, 11, 27, 12)  # noqa: DTZ001 - the zone is written behind it
_JQL = re.compile(r'project = "(\w+)" AND labels = "(\w+)" ORDER BY created DESC, key DESC')


class Jira(VendorServer):
    def __init__(self, *, has_new_search: bool) -> None:
        described = document("jira-cloud.json", _ISSUE, _SEARCH)
        super().__init__(Description(_with_new_search(described) if has_new_search else described))
        self.absent = frozenset() if has_new_search else frozenset({_NEW_SEARCH})
        self.issues: list[dict[str, Any]] = []
        self.is_indexed = True
        """The search of the real one trails behind."""

    @property
    def subjects(self) -> list[str]:
        return [issue["fields"]["summary"] for issue in self.issues]

    def makes_something(self, asked: Asked) -> bool:
        return asked.method == "POST"

    def handle(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != _ALLOWED:
            return Answer(401, {"errorMessages": ["Client must be authenticated"]})
        if asked.path == _ISSUE:
            return self._create(asked.json)
        return self._search(asked)

    def _create(self, wanted: dict[str, Any]) -> Answer:
        fields = wanted["fields"]
        if fields["project"] != {"key": PROJECT}:
            return Answer(400, {"errorMessages": [], "errors": {"project": "valid project is required"}})
        assert fields["description"]["type"] == "doc"
        number = len(self.issues) + 1
        at = f"{_BEGAN + timedelta(minutes=number):%Y-%m-%dT%H:%M:%S}.000+0000"
        self.issues.append(
            {
                "id": str(10_000 + number),
                "key": f"{PROJECT}-{number}",
                "fields": {
                    "summary": fields["summary"],
                    "labels": fields["labels"],
                    "status": {"name": "To Do", "statusCategory": {"key": "new"}},
                    "created": at,
                    "updated": at,
                },
                "properties": {each["key"]: each["value"] for each in wanted.get("properties", ())},
            }
        )
        made = {
            "id": str(10_000 + number),
            "key": f"{PROJECT}-{number}",
            "self": f"{self.url}{_ISSUE}/{number}",
        }
        return Answer(201, made)

    def _search(self, asked: Asked) -> Answer:
        read = _JQL.fullmatch(asked.query["jql"])
        assert read is not None, asked.query["jql"]
        project, label = read.groups()
        assert project == PROJECT
        found = [each for each in self.issues if self.is_indexed and label in each["fields"]["labels"]][::-1]
        size = int(asked.query["maxResults"])
        is_new = asked.path == _NEW_SEARCH
        begin = int(asked.query.get("nextPageToken" if is_new else "startAt", 0))
        page = found[begin : begin + size]
        if not is_new:
            return Answer(200, {"issues": page, "startAt": begin, "maxResults": size, "total": len(found)})
        if begin + size >= len(found):
            return Answer(200, {"issues": page, "isLast": True})
        return Answer(200, {"issues": page, "isLast": False, "nextPageToken": str(begin + size)})


def _with_new_search(described: dict[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(described)
    operation = copy.deepcopy(document["paths"][_SEARCH]["get"])
    kept = [each for each in operation["parameters"] if each["name"] not in ("startAt", "validateQuery")]
    token = {"name": "nextPageToken", "in": "query", "schema": {"type": "string"}}
    operation["parameters"] = [*kept, token]
    properties = copy.deepcopy(document["components"]["schemas"]["SearchResults"]["properties"])
    for gone in ("startAt", "maxResults", "total"):
        del properties[gone]
    properties |= {"nextPageToken": {"type": "string"}, "isLast": {"type": "boolean"}}
    operation["responses"]["200"]["content"]["application/json"]["schema"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    document["paths"][_NEW_SEARCH] = {"get": operation}
    del document["paths"][_SEARCH]
    return document
