"""
A knowledge base on a temporary folder, with an embedder that counts, and breaks on command.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pypdf

from core.clock import Clock, SystemClock
from core.errors import DependencyUnavailable
from core.identity import DEFAULT_TENANT
from core.records import Article
from tools.knowledge.embed import Embedder, Vectors
from tools.knowledge.indexer import Indexer
from tools.knowledge.ingest import Ingestion
from tools.knowledge.memory import MemoryArticles, MemoryEmbeddings
from tools.knowledge.search import LocalKnowledge
from tools.knowledge.words import terms


class CountingEmbedder:
    """Texts with the same words are near: each word has a direction of its own, by chance of its digest."""

    name = "counting-1"
    dimension = 1024

    def __init__(self) -> None:
        self.embedded: list[str] = []
        self.is_broken = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.is_broken:
            raise DependencyUnavailable("vectors", "broken on command")
        self.embedded += texts
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        vector = np.full(self.dimension, 0.01, np.float32)
        for word in terms(text):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            vector += np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
        normalised: Vectors = vector / np.linalg.norm(vector)
        return normalised


class Shelf:
    """All parts wired as `agent.bootstrap` wires them, with memory in SQL's place."""

    def __init__(self, data_dir: Path, embedder: Embedder | None, *, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self.data_dir = data_dir
        self.store = MemoryArticles()
        self.cache = MemoryEmbeddings()
        self.indexer = Indexer(self.store, self.cache, embedder, data_dir, clock=clock)
        self.ingestion = Ingestion(self.store, self.indexer, clock=clock)
        self.knowledge = LocalKnowledge(data_dir, embedder)

    async def put(self, *articles: Article) -> None:
        await self.store.put(DEFAULT_TENANT, articles)
        await self.indexer.refresh(DEFAULT_TENANT)

    async def ids(self) -> list[str]:
        return [article.article_id for article in await self.store.all(DEFAULT_TENANT)]

    async def found(self, words: str, *, context: Sequence[str] = ()) -> list[str]:
        result = await self.knowledge.search(DEFAULT_TENANT, words, limit=5, context=context)
        return [passage.article_id for passage in result.passages]


def article(article_id: str, title: str, body: str, *, language: str = "en") -> Article:
    return Article(article_id=article_id, title=title, body=body, language=language)


SHOP = (
    article(
        "returns", "Return an item", "Send it back within 30 days.\n\n## Refunds\n\nMoney arrives in a week."
    ),
    article("shipping", "Shipping times", "Parcels travel two days.\n\n## Abroad\n\nCustoms may add a week."),
    article("warranty", "Warranty", "Broken lamps are repaired for two years after the purchase."),
)


def pdf_with(words: str) -> bytes:
    """A minimal PDF of one page, written by hand: pypdf reads text, it does not draw any."""
    stream = f"BT /F1 12 Tf 72 700 Td ({words}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def locked_pdf(path: Path) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(path)


_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def docx_with(*paragraphs: tuple[str | None, str]) -> bytes:
    """A document of (style, text) paragraphs as Word writes it, with its styles `Title` and `Heading2`."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        if style
        else f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
        for style, text in paragraphs
    )
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml"'
        f' ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1"'
        f' Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1"'
        f' Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "word/styles.xml": f'<w:styles xmlns:w="{_WORD}"><w:style w:type="paragraph" w:styleId="Title"><w:name'
        ' w:val="Title"/></w:style><w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/>'
        "</w:style></w:styles>",
        "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return packed.getvalue()
