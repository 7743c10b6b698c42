"""
Read what a site sends: pages with their links and what they say to robots, sitemaps, and documents.
"""

import gzip
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

import selectolax.lexbor

from core.outward import OutwardAnswer
from tools.knowledge.formats import Document, UnreadableError, read_document

_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}
ACCEPTED = ", ".join(_SUFFIXES)
_LOC = re.compile(r"<loc>\s*(?:<!\[CDATA\[)?\s*([^\s<>\]]{1,2048})\s*(?:\]\]>)?\s*</loc>")
_LARGEST_SITEMAP_BYTES = 50_000_000
_LONGEST_LINK = 2_048
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """
    `document` is None for a page that does not want to be kept, or of which nothing can be made (`problem`); `links` are absolute
    and without fragments.
    """

    document: Document | None
    problem: str | None = None
    links: tuple[str, ...] = ()
    canonical: str | None = None


@dataclass(frozen=True, slots=True)
class Sitemap:
    """Addresses of pages, and of further sitemaps."""

    pages: tuple[str, ...]
    sitemaps: tuple[str, ...]


def is_readable(answer: OutwardAnswer) -> bool:
    """Whether it is a kind that articles are made of: not a picture, a style sheet, a feed."""
    return _kind(answer) in _SUFFIXES


def read_page(answer: OutwardAnswer) -> Page:
    """
    Raises:
        UnreadableError: nothing can be made of it.
    """
    suffix = _SUFFIXES[_kind(answer)]
    words = _words(answer.headers.get("x-robots-tag", ""))
    if suffix != ".html":
        document = None if words & {"noindex", "none"} else read_document(f"page{suffix}", answer.body)
        return Page(document)
    text = _html_of(answer)
    tree = selectolax.lexbor.LexborHTMLParser(text)
    for node in tree.css("meta[name]"):
        if (node.attributes.get("name") or "").lower() in {"robots", "careline"}:
            words |= _words(node.attributes.get("content") or "")
    base = answer.url
    if (of_links := tree.css_first("base[href]")) is not None:
        base = urljoin(base, of_links.attributes.get("href") or "")
    canonical = None
    if (named := tree.css_first("link[rel=canonical]")) is not None:
        canonical = _address(base, named.attributes.get("href"))
    links: Sequence[str | None] = ()
    if not words & {"nofollow", "none"}:
        links = [_address(base, node.attributes.get("href")) for node in tree.css("a[href]")]
    document, problem = None, None
    if not words & {"noindex", "none"}:
        try:
            document = read_document("page.html", text.encode("utf-8", "replace"))
        except UnreadableError as exc:
            problem = str(exc)  # its links may still lead to articles
    found = tuple(dict.fromkeys(link for link in links if link is not None))
    return Page(document, problem, found, canonical)


def read_sitemap(answer: OutwardAnswer) -> Sitemap:
    """
    Raises:
        UnreadableError: it names no address.
    """
    content = answer.body
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(_LARGEST_SITEMAP_BYTES + 1)
        except (OSError, EOFError) as exc:
            raise UnreadableError(f"it is damaged ({exc})") from exc
    if len(content) > _LARGEST_SITEMAP_BYTES:
        raise UnreadableError(f"it is larger than {_LARGEST_SITEMAP_BYTES // 1_000_000} MB")
    text = content.decode("utf-8", "replace")
    found = [_address(answer.url, html.unescape(each)) for each in _LOC.findall(text)]
    if not found and "<loc>" in text.replace(" ", ""):
        raise UnreadableError("none of its addresses can be read")
    addresses = tuple(dict.fromkeys(each for each in found if each is not None))
    if "<sitemapindex" in text:
        return Sitemap((), addresses)
    if "<urlset" not in text:
        raise UnreadableError("it is no sitemap (neither urlset nor sitemapindex)")
    return Sitemap(addresses, ())


def validators_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What to ask with the next time, so that a page that is the same need not be sent again."""
    wanted = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
    return {asked: headers[told] for told, asked in wanted.items() if told in headers}


def _kind(answer: OutwardAnswer) -> str:
    named = str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()
    if named in {"", "application/octet-stream"}:
        ending = urlsplit(answer.url).path.lower().rpartition(".")[2]
        return {"pdf": "application/pdf", "md": "text/markdown"}.get(ending, named)
    return named


def _html_of(answer: OutwardAnswer) -> str:
    named = _CHARSET.search(answer.headers.get("content-type", ""))
    inside = _META_CHARSET.search(answer.body[:2048])
    charset = named[1] if named else inside[1].decode("ascii") if inside else "utf-8"
    try:
        return answer.body.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return answer.body.decode("utf-8", "replace")


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.replace(":", ",").split(",")}


def _address(base: str, link: str | None) -> str | None:
    try:
        url = urldefrag(urljoin(base, (link or "").strip())).url
        parts = urlsplit(url)
    except ValueError:
        return None
    is_web = parts.scheme in {"http", "https"} and bool(parts.hostname) and len(url) <= _LONGEST_LINK
    return (url if parts.path else url + "/") if is_web else None
