"""
Ask an OpenAI-compatible server for vectors (`POST /embeddings`), and make its every way to fail ours.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import httpx
import msgspec
import numpy as np

from core.errors import CallerError, DependencyError, DependencyUnavailable, RateLimited
from core.http import raise_for_answer, translate
from core.resilience.guard import Guard
from tools.knowledge.embed import DEPENDENCY, Vectors

_AT_ONCE = 64
_CHARACTERS_AT_ONCE = 60_000
_LONGEST_TEXT = 8_000
"""Characters: servers refuse what is over 8,192 tokens, and no chunk and few questions are as long."""
_REMEMBERED = 2048
_MOST_OF_A_SEARCH = 16


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Row]


_JSON = msgspec.json.Decoder(_Answer)


class EndpointEmbedder:
    """
    Implements `Embedder`. `client` has the credentials; `guard` stands before a question, with its few texts, and
    `articles_guard` before articles that are indexed, which have longer.

    `asks_for_dimension` sends the dimension too, for models that can shorten their vectors.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        guard: Guard,
        articles_guard: Guard,
        *,
        model: str,
        dimension: int,
        asks_for_dimension: bool = False,
    ) -> None:
        where = hashlib.sha256(str(client.base_url).encode()).hexdigest()[:8]
        self.name = f"api-{model}-{dimension}-{where}"
        self.dimension = dimension
        self._client = client
        self._guard = guard
        self._articles_guard = articles_guard
        self._has_answered = False
        self._model = model
        self._asks_for_dimension = asks_for_dimension
        self._remembered: OrderedDict[str, Vectors] = OrderedDict()

    async def open(self) -> None:
        """Asks once: who watches whether it still works, embeds something."""
        if not self._has_answered:
            await self._ask(["check"], self._guard)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        known = {text: self._remembered[text] for text in texts if text in self._remembered}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        guard = self._guard if len(texts) <= _MOST_OF_A_SEARCH else self._articles_guard
        for some in _batches(missing):
            vectors = await self._ask(some, guard)
            known.update(zip(some, vectors, strict=True))
        self._remember(known)
        return (
            np.stack([known[text] for text in texts]) if texts else np.empty((0, self.dimension), np.float32)
        )

    async def _ask(self, texts: Sequence[str], guard: Guard) -> Vectors:
        try:
            return await guard.run(lambda: self._asked(texts))
        except DependencyError as exc:
            if exc.dependency == DEPENDENCY:
                raise
            raise DependencyUnavailable(DEPENDENCY, str(exc), reason=exc.reason) from exc
        except RateLimited as exc:
            raise DependencyUnavailable(
                DEPENDENCY, str(exc), reason="rate_limited", retry_after=exc.retry_after
            ) from exc
        except CallerError as exc:  # 404: a wrong address or model
            raise DependencyUnavailable(DEPENDENCY, str(exc), reason=exc.code) from exc

    async def _asked(self, texts: Sequence[str]) -> Vectors:
        body = {
            "model": self._model,
            "input": [_sendable(text) for text in texts],
            "encoding_format": "float",
        } | ({"dimensions": self.dimension} if self._asks_for_dimension else {})
        try:
            response = await self._client.post(
                "embeddings", content=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise translate(DEPENDENCY, exc) from exc
        raise_for_answer(DEPENDENCY, response)
        try:
            rows = _JSON.decode(response.content).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise self._unexpected(f"no list of embeddings: {exc}") from exc
        if sorted(row.index for row in rows) != list(range(len(texts))):
            raise self._unexpected(f"{len(rows)} embeddings for {len(texts)} texts, or under other numbers")
        if wrong := {len(row.embedding) for row in rows} - {self.dimension}:
            raise self._unexpected(
                f"vectors of {min(wrong)} numbers, not {self.dimension}: mend CARELINE_EMBEDDER_DIMENSIONS"
            )
        vectors = np.array([row.embedding for row in sorted(rows, key=lambda row: row.index)], np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths < 1e-9).any():
            raise self._unexpected("a vector without a direction")
        self._has_answered = True
        normalised: Vectors = vectors / lengths
        return normalised

    def _remember(self, used: dict[str, Vectors]) -> None:
        """What customers say is asked for again as the context of their next messages; articles are not."""
        if len(used) > _MOST_OF_A_SEARCH:
            return
        for text, vector in used.items():
            self._remembered[text] = vector
            self._remembered.move_to_end(text)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _unexpected(self, what: str) -> DependencyUnavailable:
        return DependencyUnavailable(DEPENDENCY, f"{DEPENDENCY}: {what}", reason="unexpected_answer")


def _sendable(text: str) -> str:
    """Servers refuse empty texts; a lone surrogate is no JSON."""
    readable = text[:_LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")
    return readable if readable.strip() else "?"


def _batches(texts: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = []
    size = 0
    for text in texts:
        if not batches or len(batches[-1]) == _AT_ONCE or size + len(text) > _CHARACTERS_AT_ONCE:
            batches.append([])
            size = 0
        batches[-1].append(text)
        size += len(text)
    return batches
