"""
Get title and text out of one file: Markdown, HTML, plain text, PDF, DOCX.

The text that comes out is what is stored, searched and quoted from then on.
"""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

import selectolax.lexbor

from tools.knowledge.chunk import plain, title_of

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)?---[ \t]*\n", re.DOTALL)
_FRONT_MATTER_LINE = re.compile(r"([A-Za-z_]+)[ \t]*:[ \t]*(.*?)[ \t]*\Z")

_NO_CONTENT = "script, style, noscript, template, svg, nav, header, footer, aside, form, iframe, button"
_BLOCK_TAGS = (
    "address article blockquote body dd div dl dt figure figcaption main ol p pre section table tr ul"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())

_LARGEST_UNPACKED_BYTES = 200_000_000
_DOCX_STYLES = "p[style-name='Title'] => h1:fresh"


class UnreadableError(Exception):
    """The file cannot become an article; the text says why, for whoever sent it."""


@dataclass(frozen=True, slots=True)
class Document:
    title: str | None
    body: str
    fields: Mapping[str, str] = field(default_factory=dict)
    """What the file says about itself: `url`, `category`, `language`."""


def read_document(name: str, content: bytes) -> Document:
    """
    Read by the name's suffix, whose case does not matter.

    Raises:
        UnreadableError: not text, damaged, locked, or without a word in it.
    """
    # A damaged file gives a parser whatever it runs into, from KeyError to RecursionError.
    try:
        document = READERS[PurePath(name).suffix.lower()](content)
    except UnreadableError:
        raise
    except Exception as exc:
        raise UnreadableError(f"it is damaged ({type(exc).__name__}: {exc})") from exc
    if not plain(document.body):
        raise UnreadableError("there is no text in it")
    return document


def clean(text: str) -> str:
    """Line ends as \\n; without what no database takes (NUL) and no encoder writes (lone surrogates)."""
    readable = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    return readable.encode("utf-8", "replace").decode("utf-8")


def _text(content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return clean(content.decode(encoding))
    except UnicodeDecodeError as exc:
        raise UnreadableError(f"it is not UTF-8 text (byte {exc.start})") from exc


def _read_text(content: bytes) -> Document:
    return Document(title=None, body=_text(content))


def _read_markdown(content: bytes) -> Document:
    text = _text(content)
    fields: dict[str, str] = {}
    if found := _FRONT_MATTER.match(text):
        for line in (found[1] or "").splitlines():
            if pair := _FRONT_MATTER_LINE.match(line):
                fields[pair[1].lower()] = pair[2].strip("\"'")
        text = text[found.end() :]
    return Document(title=fields.pop("title", None) or title_of(text), body=text, fields=fields)


def _read_html(content: bytes) -> Document:
    tree = selectolax.lexbor.LexborHTMLParser(_text(content))
    fields = {}
    if (root := tree.css_first("html")) is not None and (language := root.attributes.get("lang")):
        fields["language"] = language
    if (link := tree.css_first("link[rel=canonical]")) is not None and (url := link.attributes.get("href")):
        fields["url"] = url
    heading = tree.css_first("h1") or tree.css_first("title")
    title = " ".join(heading.text().split()) if heading is not None else None
    for node in tree.css(_NO_CONTENT):
        node.decompose()
    whole = tree.css_first("main") or tree.css_first("article") or tree.body
    return Document(title=title or None, body=_html_text(whole) if whole is not None else "", fields=fields)


def _html_text(root: selectolax.lexbor.LexborNode) -> str:
    """Headings and list items as in Markdown, an empty line between blocks: so it is cut at its joints."""
    pieces: list[str] = []
    # A stack of our own: pages nest deeper than Python recurses. A string is what follows the node before it.
    todo: list[selectolax.lexbor.LexborNode | str] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            pieces.append(node)
        elif node.is_text_node:
            pieces.append(re.sub(r"\s+", " ", node.text_content or ""))
        elif node.is_element_node:
            before, after = _edges(node.tag or "")
            pieces.append(before)
            todo.append(after)
            todo += reversed(list(node.iter(include_text=True)))
    text = re.sub(r" *\n[ \n]*", _line_ends, re.sub(r" {2,}", " ", "".join(pieces)))
    return re.sub(r"(?m)^-\n+", "- ", text).strip() + "\n"


def _edges(tag: str) -> tuple[str, str]:
    if tag == "br":
        return "\n", ""
    if tag in ("td", "th"):
        return " ", " "
    if re.fullmatch(r"h[1-6]", tag):
        return f"\n\n{'#' * int(tag[1])} ", "\n\n"
    if tag == "li":
        return "\n- ", "\n"
    return ("\n\n", "\n\n") if tag in _BLOCKS else ("", "")


def _line_ends(found: re.Match[str]) -> str:
    return "\n\n" if found[0].count("\n") > 1 else "\n"


def _read_pdf(content: bytes) -> Document:
    import pypdf  # 7 MB that a service which only serves has no use for

    reader = pypdf.PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableError("it is locked with a password")
    body = "\n\n".join(clean(page.extract_text()).strip() for page in reader.pages)
    if not body.strip():
        raise UnreadableError("there is no text in it; scanned pages need text recognition first")
    title = clean(str(reader.metadata.title or "")).strip() if reader.metadata is not None else ""
    return Document(title=title or None, body=body)


def _read_docx(content: bytes) -> Document:
    """By way of HTML, in which headings, lists and tables are what they are in Word. Pictures are left out."""
    # Mammoth ships no types.
    import mammoth  # type: ignore[import-untyped]

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            if sum(part.file_size for part in parts.infolist()) > _LARGEST_UNPACKED_BYTES:
                raise UnreadableError(f"it unpacks to more than {_LARGEST_UNPACKED_BYTES // 1_000_000} MB")
    except zipfile.BadZipFile as exc:
        raise UnreadableError("it is damaged, locked with a password, or no DOCX file") from exc
    converted = mammoth.convert_to_html(
        io.BytesIO(content),
        style_map=_DOCX_STYLES,
        include_embedded_style_map=False,
        convert_image=lambda _: [],
    )
    return _read_html(converted.value.encode())


READERS: Mapping[str, Callable[[bytes], Document]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".html": _read_html,
    ".htm": _read_html,
    ".txt": _read_text,
    ".pdf": _read_pdf,
    ".docx": _read_docx,
}
"""The kinds of file that hold one article, by suffix."""
