"""
The help centres of Zendesk and Intercom, as far as their articles are listed.

Intercom's is held to its description. Zendesk's description has no operation of its Help Center API, so that stand-in is written
by its public reference, and checks by itself what it is asked.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.vendors.description import Description, description
from tests.vendors.server import Answer, Asked, VendorServer

INTERCOM_KEY = "intercom-key-0123456789"
ZENDESK_CREDENTIALS = "basic agent@shop.example/token:zendesk-key-0123456789"
_ZENDESK_ALLOWED = "Basic YWdlbnRAc2hvcC5leGFtcGxlL3Rva2VuOnplbmRlc2sta2V5LTAxMjM0NTY3ODk="
_BEGAN = 1_795_780_800
_PAGE = 2


class IntercomArticles(VendorServer):
    """`turns_by` is how a list says where it goes on: Intercom's do it in three ways."""

    def __init__(self) -> None:
        super().__init__(
            description("intercom-2.16.yaml", "/articles", "/internal_articles", "/help_center/collections")
        )
        self.articles: list[dict[str, Any]] = []
        self.internal: list[dict[str, Any]] = []
        self.may_read_internal = True
        self.turns_by = "cursor"

    def makes_something(self, asked: Asked) -> bool:
        return False

    def handle(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != f"Bearer {INTERCOM_KEY}":
            return Answer(401, _errors("unauthorized", "Access Token Invalid"))
        match asked.path:
            case "/articles":
                return self._list(asked, [{"type": "article"} | each for each in self.articles])
            case "/help_center/collections":
                return self._list(asked, [{"id": "18", "name": "Orders", "workspace_id": "shop"}])
        if not self.may_read_internal:
            return Answer(401, _errors("unauthorized", "no scope"))
        return self._list(asked, self.internal)

    def _list(self, asked: Asked, whole: list[dict[str, Any]]) -> Answer:
        number = int(asked.query.get("page", asked.query.get("starting_after", 1)))
        pages: dict[str, Any] = {
            "type": "pages",
            "page": number,
            "per_page": _PAGE,
            "total_pages": -(-len(whole) // _PAGE) or 1,
        }
        if number * _PAGE < len(whole) and self.turns_by == "cursor":
            pages["next"] = {"per_page": _PAGE, "starting_after": str(number + 1)}
        some = whole[(number - 1) * _PAGE : number * _PAGE]
        return Answer(200, {"type": "list", "pages": pages, "total_count": len(whole), "data": some})


def intercom_article(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "workspace_id": "shop",
        "title": f"Article {number}",
        "description": "",
        "body": f"<h2>Steps</h2><p>All about thing {number}.</p>",
        "author_id": 7,
        "state": "published",
        "created_at": _BEGAN,
        "updated_at": _BEGAN + number,
        "url": f"https://help.shop.example/en/articles/{number}",
        "parent_ids": [18],
        "help_center_audience": "everyone",
        "default_locale": "en",
    } | fields


class _Undescribed(Description):
    """Of operations that the vendor's description does not have."""

    def __init__(self) -> None:
        pass

    def problem_of_request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> str | None:
        unknown = sorted(set(query) - {"page[size]", "page[after]", "page", "per_page"})
        if method != "GET" or body:
            return "only read"
        return f"unknown parameters {unknown}" if unknown else None

    def problem_of_answer(self, method: str, path: str, status: int, body: bytes) -> str | None:
        return None


class ZendeskArticles(VendorServer):
    """Without credentials it shows what everybody may see, and no segments. `is_old` knows no cursors."""

    def __init__(self) -> None:
        super().__init__(_Undescribed())
        self.articles: dict[str, list[dict[str, Any]]] = {"en-us": [], "es": []}
        self.segments: list[dict[str, Any]] = [
            {"id": 1, "name": "Signed-in users", "user_type": "signed_in_users", "built_in": True},
            {"id": 2, "name": "Agents and managers", "user_type": "staff", "built_in": True},
            {"id": 3, "name": "Wholesale", "user_type": "signed_in_users", "tags": ["wholesale"]},
        ]
        self.is_old = False

    def makes_something(self, asked: Asked) -> bool:
        return False

    def handle(self, asked: Asked) -> Answer:
        authorization = asked.headers.get("Authorization")
        if authorization not in {None, _ZENDESK_ALLOWED}:
            return Answer(401, {"error": "Couldn't authenticate you"})
        path = asked.path.removeprefix("/api/v2/help_center/")
        if path == "locales":
            return Answer(200, {"locales": [*self.articles], "default_locale": "en-us"})
        if path == "user_segments":
            if authorization is None:
                return Answer(401, {"error": "Couldn't authenticate you"})
            return self._list(asked, "user_segments", self.segments)
        locale, _, kind = path.partition("/")
        if locale not in self.articles or kind not in {"articles", "sections"}:
            return Answer(404, {"error": "RecordNotFound"})
        if kind == "sections":
            return self._list(asked, kind, [{"id": 5, "name": "Orders" if locale != "es" else "Pedidos"}])
        shown = [
            {"locale": locale} | each
            for each in self.articles[locale]
            if authorization is not None or (each["user_segment_id"] is None and not each["draft"])
        ]
        return self._list(asked, kind, shown)

    def _list(self, asked: Asked, key: str, whole: list[dict[str, Any]]) -> Answer:
        number = int(asked.query.get("page" if self.is_old else "page[after]", 1))
        some = whole[(number - 1) * _PAGE : number * _PAGE]
        has_more = number * _PAGE < len(whole)
        if self.is_old:
            following = f"{self.url}{asked.path}?page={number + 1}" if has_more else None
            return Answer(200, {key: some, "count": len(whole), "next_page": following})
        query = dict(parse_qsl(urlencode(asked.query))) | {"page[after]": str(number + 1)}
        links = {"next": f"{self.url}{asked.path}?{urlencode(query)}"}
        return Answer(200, {key: some, "meta": {"has_more": has_more}, "links": links})


def zendesk_article(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "title": f"Article {number}",
        "body": f"<h2>Steps</h2><p>All about thing {number}.</p>",
        "html_url": f"https://shop.zendesk.com/hc/articles/{number}",
        "draft": False,
        "section_id": 5,
        "user_segment_id": None,
        "updated_at": "2026-11-01T00:00:00Z",
    } | fields


def _errors(code: str, message: str) -> dict[str, Any]:
    return {"type": "error.list", "errors": [{"code": code, "message": message}]}
