"""
The articles of a help centre at Zendesk or Intercom, by their APIs: what is published, for whom, in all languages.

Nothing is guessed in favour of the public: an audience that is not understood is internal, and a draft is not taken.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from core.errors import CarelineError, DataIntegrityFailed, DependencyForbidsUs, DependencyRefusedUs, NotFound
from core.http import raise_for_answer
from core.identity import Audience
from core.records import Article
from tools.knowledge.article import NO_TERMS, Failure, Kept, Terms, make_article
from tools.knowledge.fetch import DEPENDENCY, Fetcher
from tools.knowledge.formats import UnreadableError, read_document

INTERCOM_URL = "https://api.intercom.io"

_PAUSE_SECONDS = 0.2
_MOST_PAGES = 5_000
_LANGUAGES_OF_INTERCOM = frozenset({"type"})
_INTERCOM_AUDIENCES = {
    "everyone": Audience.PUBLIC,
    "all_visitors": Audience.PUBLIC,
    "all_leads": Audience.PUBLIC,
    "all_visitors_and_leads": Audience.PUBLIC,
    "all_users": Audience.CUSTOMER,
}


class _Api:
    """JSON answers, page by page, from one place: what its credentials are for."""

    def __init__(self, base_url: str, fetcher: Fetcher, headers: Mapping[str, str]) -> None:
        self.base_url = base_url.rstrip("/")
        self._fetcher = fetcher
        self._headers = {"Accept": "application/json", **headers}

    async def get(self, path: str) -> dict[str, Any]:
        """
        Raises:
            DataIntegrityFailed: no JSON object, or an address that leads to another place.
            CarelineError: as `core.http.raise_for_answer`.
        """
        url = urljoin(self.base_url + "/", path)
        if urlsplit(url)[:2] != urlsplit(self.base_url)[:2]:
            raise DataIntegrityFailed(f"{DEPENDENCY}: the next page is said to be on another host")
        answer = await self._fetcher.get(url, headers=self._headers, pause_seconds=_PAUSE_SECONDS)
        raise_for_answer(DEPENDENCY, answer, now=self._fetcher.now())
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise DataIntegrityFailed(f"{DEPENDENCY}: {urlsplit(url).path} is not what it should be") from exc


class ZendeskHelpCentre:
    """
    Implements `tools.knowledge.ingest.Source`. `headers` hold the credentials, if any: without, Zendesk shows what is public.

    Who an article is for is its user segment's say: none is everybody, all signed-in users are customers. Any other segment
    (agents, some organisations, some tags) is internal.
    """

    def __init__(
        self,
        base_url: str,
        fetcher: Fetcher,
        *,
        headers: Mapping[str, str],
        name: str | None = None,
        terms: Terms = NO_TERMS,
    ) -> None:
        self.name = name or f"zendesk {base_url.rstrip('/')}"
        self._prefix = f"{name or 'zendesk'}/"
        self._api = _Api(base_url, fetcher, headers)
        self._terms = terms

    async def articles(self, known: Mapping[str, Article]) -> AsyncIterator[Article | Failure | Kept]:
        try:
            locales = await self._locales()
            segments = await self._segments()
            for locale in locales:
                sections = {
                    each["id"]: str(each["name"])
                    async for each in self._all(f"{locale}/sections", "sections")
                }
                async for each in self._all(f"{locale}/articles", "articles"):
                    if each.get("draft") is False:
                        yield self._article(each, locale, sections, segments)
        except (CarelineError, KeyError, TypeError) as exc:
            yield Failure(self.name, _why(exc))

    async def _locales(self) -> Sequence[str]:
        return [str(each) for each in (await self._api.get("api/v2/help_center/locales"))["locales"]]

    async def _segments(self) -> Mapping[Any, Audience]:
        """Those that are more than internal. Who may not see the segments learns of none."""
        found: dict[Any, Audience] = {None: Audience.PUBLIC}
        try:
            async for each in self._all("user_segments", "user_segments"):
                narrows = any(each.get(name) for name in ("group_ids", "organization_ids", "tags", "or_tags"))
                if each.get("user_type") == "signed_in_users" and not narrows:
                    found[each["id"]] = Audience.CUSTOMER
        except (DependencyRefusedUs, DependencyForbidsUs, NotFound):
            pass
        return found

    async def _all(self, path: str, key: str) -> AsyncIterator[dict[str, Any]]:
        """Pages are turned by cursor, or counted where a help centre is older than that."""
        url: str | None = f"api/v2/help_center/{path}?page[size]=100"
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            page = await self._api.get(url)
            for each in page[key]:
                yield each
            url = page["links"]["next"] if "links" in page else page.get("next_page")
            if "meta" in page and not page["meta"]["has_more"]:
                return
        raise DataIntegrityFailed(f"{DEPENDENCY}: {path} has no last page")

    def _article(
        self,
        each: Mapping[str, Any],
        locale: str,
        sections: Mapping[Any, str],
        segments: Mapping[Any, Audience],
    ) -> Article | Failure:
        article_id = f"{self._prefix}{each['id']}/{locale}"
        wanted = each.get("user_segment_ids") or [each.get("user_segment_id", "unknown")]
        audience = max((segments.get(one, Audience.INTERNAL) for one in wanted), key=list(Audience).index)
        return _made(
            article_id,
            each.get("title"),
            each.get("body"),
            url=each.get("html_url"),
            category=sections.get(each.get("section_id")),
            source=self.name,
            terms=self._terms.narrowed(audience).said_by({"language": locale}),
        )


class IntercomHelpCentre:
    """
    Implements `tools.knowledge.ingest.Source`. `headers` hold the access token.

    An article for everyone is public, one for all users is for customers; one for a custom audience, one that is on no help
    centre's page, and Intercom's internal articles are internal. One that is to be unpublished expires then.
    """

    def __init__(
        self,
        base_url: str,
        fetcher: Fetcher,
        *,
        headers: Mapping[str, str],
        name: str | None = None,
        terms: Terms = NO_TERMS,
    ) -> None:
        self.name = name or f"intercom {base_url.rstrip('/')}"
        self._prefix = f"{name or 'intercom'}/"
        self._api = _Api(base_url, fetcher, {"Intercom-Version": "2.16", **headers})
        self._terms = terms

    async def articles(self, known: Mapping[str, Article]) -> AsyncIterator[Article | Failure | Kept]:
        try:
            collections = {
                str(each["id"]): str(each.get("name") or "")
                async for each in self._all("help_center/collections")
            }
            async for each in self._all("articles"):
                for one in self._versions(each, collections):
                    yield one
            async for each in self._internal():
                yield _made(
                    f"{self._prefix}internal/{each['id']}",
                    each.get("title"),
                    each.get("body"),
                    url=None,
                    category=None,
                    source=self.name,
                    terms=self._terms.narrowed(Audience.INTERNAL).said_by(
                        {"language": str(each.get("locale") or "")}
                    ),
                )
        except (CarelineError, KeyError, TypeError) as exc:
            yield Failure(self.name, _why(exc))

    async def _internal(self) -> AsyncIterator[dict[str, Any]]:
        """None for a token that may not read them."""
        try:
            async for each in self._all("internal_articles"):
                yield each
        except (DependencyRefusedUs, DependencyForbidsUs, NotFound):
            return

    async def _all(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """By cursor, by the next page's address, or by number: Intercom's lists differ."""
        url: str | None = path
        met: set[str] = set()
        while url is not None and len(met) < _MOST_PAGES:
            if url in met:
                raise DataIntegrityFailed(f"{DEPENDENCY}: {path} has no last page")
            met.add(url)
            page = await self._api.get(url)
            for each in page["data"]:
                yield each
            url = _next_page(path, page.get("pages") or {})

    def _versions(self, each: Mapping[str, Any], collections: Mapping[str, str]) -> list[Article | Failure]:
        """One for each language that is published."""
        default = str(each.get("default_locale") or "en")
        contents = {default: each} | {
            locale: content
            for locale, content in (each.get("translated_content") or {}).items()
            if locale not in _LANGUAGES_OF_INTERCOM and content is not None
        }
        parents = [collections.get(str(parent)) for parent in each.get("parent_ids") or ()]
        found: list[Article | Failure] = []
        for locale, content in contents.items():
            if content.get("state") == "published":
                found.append(
                    _made(
                        f"{self._prefix}{each['id']}/{locale}",
                        content.get("title"),
                        content.get("body"),
                        url=content.get("url"),
                        category=next((parent for parent in parents if parent), None),
                        source=self.name,
                        terms=self._terms_of(each, content, locale),
                    )
                )
        return found

    def _terms_of(self, each: Mapping[str, Any], content: Mapping[str, Any], locale: str) -> Terms:
        audience = _INTERCOM_AUDIENCES.get(each.get("help_center_audience") or "", Audience.INTERNAL)
        if not content.get("url"):
            audience = Audience.INTERNAL
        fields = {"language": locale}
        if (until := each.get("scheduled_unpublish_at")) is not None:
            fields["expires"] = datetime.fromtimestamp(until, UTC).isoformat()
        return self._terms.narrowed(audience).said_by(fields)


def _next_page(path: str, pages: Mapping[str, Any]) -> str | None:
    match pages.get("next"):
        case str(url) if url:
            return url
        case {"starting_after": str(cursor)} if cursor:
            return f"{path}?starting_after={cursor}"
        case _:
            number = pages.get("page") or 1
            return f"{path}?page={number + 1}" if number < (pages.get("total_pages") or 1) else None


def _made(
    article_id: str,
    title: Any,
    body: Any,
    *,
    url: str | None,
    category: str | None,
    source: str,
    terms: Terms,
) -> Article | Failure:
    try:
        document = read_document("body.html", str(body or "").encode("utf-8", "replace"))
    except UnreadableError as exc:
        return Failure(article_id, str(exc), article_id)
    return make_article(
        article_id,
        title=" ".join(str(title or "").split()),
        body=document.body,
        url=url,
        category=category,
        source=source,
        terms=terms,
    )


def _why(exc: Exception) -> str:
    match exc:
        case DependencyRefusedUs() | DependencyForbidsUs():
            return f"it refuses us ({exc}): check CARELINE_HELP_CENTRE_CREDENTIALS"
        case NotFound():
            return f"there is no help centre under this address ({exc})"
        case CarelineError():
            return str(exc)
        case _:
            return f"an answer is not what it should be ({type(exc).__name__}: {exc})"
