"""
Where customers and knowledge are looked up when another system keeps them, and which of its fields are read: tables of
`careline.toml` (docs/connectors.md).

A mapping is an allow-list: what it does not name is not taken over from an answer.
"""

import base64
import json
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from core.field_paths import steps_of
from core.identity import DEFAULT_TENANT

_CURRENCY = re.compile(r"[A-Z]{3}")
_COLUMN = re.compile(r"[^\W\d]\w{0,62}")
_HEADER = re.compile(r"([A-Za-z0-9-]{1,64}):\s*(\S.*)")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_VISIBLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def _path(text: str) -> str:
    if not steps_of(text):
        raise ValueError("names no field")
    return text


def _path_or_all(text: str) -> str:
    steps_of(text)
    return text


def _service(url: str) -> str:
    shape = "must begin with http:// or https:// and name a host, without credentials, query or fragment"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(shape) from None
    if not is_good or parts.username is not None or parts.query or parts.fragment:
        raise ValueError(shape)
    return url


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone, such as Europe/Berlin") from None
    return name


def _currency(code: str) -> str:
    if _CURRENCY.fullmatch(code) is None:
        raise ValueError("must be an ISO 4217 code, such as EUR")
    return code


def _placeholders(text: str, known: frozenset[str]) -> None:
    if not text.startswith("/"):
        raise ValueError("must begin with /")
    found = _PLACEHOLDER.findall(text)
    if set(found) - known or not text.count("{") == text.count("}") == len(found):
        raise ValueError(f"can hold {', '.join(f'{{{name}}}' for name in sorted(known))} and no other braces")


_OF_CUSTOMER = frozenset({"customer_id", "tenant"})
_OF_SEARCH = frozenset({"words", "limit", "language", "tenant", "context", "audience"})


def _customer_path(text: str) -> str:
    _placeholders(text, _OF_CUSTOMER)
    if "{customer_id}" not in text:
        raise ValueError("must hold {customer_id}")
    return text


def _search_path(text: str) -> str:
    _placeholders(text, _OF_SEARCH)
    return text


def _fixed_path(text: str) -> str:
    _placeholders(text, frozenset())
    return text


FieldPath = Annotated[str, AfterValidator(_path)]
PlacePath = Annotated[str, AfterValidator(_path_or_all)]
"""As a field's path; empty for the whole answer."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def table(value: Any) -> Any:
    """A table of `careline.toml`, or the same as JSON in the environment."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a table in careline.toml, or a JSON object in the environment") from None


class CustomerFields(_Table):
    """`name` of several fields is put together with spaces."""

    customer_id: FieldPath
    name: FieldPath | Annotated[tuple[FieldPath, ...], Field(min_length=1)]
    email: FieldPath | None = None
    phone: FieldPath | None = None
    locale: FieldPath | None = None
    timezone: FieldPath | None = None
    attributes: dict[str, FieldPath] = Field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,) if isinstance(self.name, str) else self.name

    @property
    def paths(self) -> tuple[str, ...]:
        own = (self.customer_id, *self.names, self.email, self.phone, self.locale, self.timezone)
        return tuple(dict.fromkeys(path for path in (*own, *self.attributes.values()) if path is not None))


class OrderFields(_Table):
    """
    `items` is a list; `item` says where in each of them its name is. `total` is in `money`: the currency's units (`"12.50"`), or
    its smallest ones (`1250`). Dates are ISO 8601 or seconds or milliseconds since 1970, in `naive_dates_in` where they name no
    zone.
    """

    order_id: FieldPath
    placed_at: FieldPath
    status: FieldPath
    total: FieldPath
    currency: FieldPath | None = None
    default_currency: Annotated[str, AfterValidator(_currency)] | None = None
    items: FieldPath | None = None
    item: FieldPath | None = None
    tracking: FieldPath | None = None
    expected_at: FieldPath | None = None
    statuses: dict[str, str] = Field(default_factory=dict)
    money: Literal["decimal", "minor_units"] = "decimal"
    dates: Literal["iso", "seconds", "milliseconds"] = "iso"
    naive_dates_in: Annotated[str, AfterValidator(_zone)] = "UTC"

    @model_validator(mode="after")
    def _amounts_have_a_currency(self) -> Self:
        if self.currency is None and self.default_currency is None:
            raise ValueError("needs currency (a field) or default_currency (a code such as EUR)")
        if self.item is not None and self.items is None:
            raise ValueError("item says where in each of items its name is: set items too")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        own = (self.order_id, self.placed_at, self.status, self.total, self.currency, self.items)
        return tuple(dict.fromkeys(p for p in (*own, self.tracking, self.expected_at) if p is not None))


class OrdersApi(_Table):
    """
    Without `path` the orders stand in the customer's answer. Pages: the next one's address in the `Link` header or in a field, a
    cursor in a field, or counted from 1; `parameter` is the query parameter for the last two.
    """

    path: Annotated[str, AfterValidator(_customer_path)] | None = None
    list: PlacePath = ""
    newest_first: bool = False
    pages: Literal["none", "link", "url", "cursor", "number"] = "none"
    next: FieldPath | None = None
    parameter: str | None = None
    most_pages: int = Field(10, ge=1, le=100)
    none_is_404: bool = False
    fields: OrderFields

    @model_validator(mode="after")
    def _pages_can_be_turned(self) -> Self:
        if self.path is None and (self.pages != "none" or not self.list):
            raise ValueError(
                "without path, list says where in the customer's answer they are, and there are no pages"
            )
        if (self.next is not None) != (self.pages in {"url", "cursor"}):
            raise ValueError("next (a field) belongs to pages = url or cursor")
        if (self.parameter is not None) != (self.pages in {"cursor", "number"}):
            raise ValueError("parameter (a query parameter) belongs to pages = cursor or number")
        return self


class CustomersApi(_Table):
    """`record` is where in the answer the customer stands. Without `{tenant}` in `path` only `tenant` is looked up there."""

    url: Annotated[str, AfterValidator(_service)]
    path: Annotated[str, AfterValidator(_customer_path)]
    probe_path: Annotated[str, AfterValidator(_fixed_path)] | None = None
    tenant: str = DEFAULT_TENANT
    record: PlacePath = ""
    customer: CustomerFields
    orders: OrdersApi | None = None

    def serves(self, tenant: str) -> bool:
        return "{tenant}" in self.path or tenant == self.tenant


class OrdersTable(_Table):
    """`customer_id` is the column with the customer's id. Paths are columns, but for `item`, inside the JSON list in `items`."""

    table: str
    customer_id: str
    tenant_column: str | None = None
    fields: OrderFields


class CustomersSql(_Table):
    """
    The company's own tables (or views), only read, in `CARELINE_CUSTOMERS_DATABASE_URL`. Paths are columns. `id_type` is that of
    the customer's id in these tables.
    """

    table: str
    id_type: Literal["text", "integer", "uuid"] = "text"
    tenant: str = DEFAULT_TENANT
    tenant_column: str | None = None
    customer: CustomerFields
    orders: OrdersTable | None = None

    @model_validator(mode="after")
    def _columns_are_columns(self) -> Self:
        columns = [*self.customer.paths, *([self.tenant_column] if self.tenant_column else [])]
        names = [*self.table.split(".")]
        if self.orders is not None:
            own = self.orders
            names += own.table.split(".")
            columns += [
                *own.fields.paths,
                own.customer_id,
                *([own.tenant_column] if own.tenant_column else []),
            ]
            if (own.tenant_column is None) != (self.tenant_column is None):
                raise ValueError("tenant_column must be given for both tables, or for neither")
        for name in (*names, *columns):
            if _COLUMN.fullmatch(name) is None:
                raise ValueError(
                    f"{name!r} is no name of a table or column; make a view for what is computed"
                )
        if max(self.table.count("."), self.orders.table.count(".") if self.orders else 0) > 1:
            raise ValueError("a table is named TABLE or SCHEMA.TABLE")
        return self


class PassageFields(_Table):
    """
    `text` is what may be quoted. `cosine` is for searches that answer with a cosine similarity (−1…1). Where `audience` is
    given, a hit is shown to anybody only if it says `public` there, to known customers also if it says `customer`.
    """

    article_id: FieldPath
    title: FieldPath
    text: FieldPath
    url: FieldPath | None = None
    heading: FieldPath | None = None
    score: FieldPath | None = None
    cosine: FieldPath | None = None
    category: FieldPath | None = None
    language: FieldPath | None = None
    audience: FieldPath | None = None


class KnowledgeApi(_Table):
    """
    `path` and the strings of `body` can hold {words}, {limit}, {language}, {tenant}, {audience} (`public` or `customer`) and
    {context} (what the customer said before, a line each); a string that is only {limit} becomes a number. `hits` is where in the
    answer the list is.
    """

    url: Annotated[str, AfterValidator(_service)]
    path: Annotated[str, AfterValidator(_search_path)] = "/search"
    method: Literal["GET", "POST"] = "POST"
    body: dict[str, Any] = Field(default_factory=lambda: {"query": "{words}", "limit": "{limit}"})
    probe_path: Annotated[str, AfterValidator(_fixed_path)] | None = None
    tenant: str = DEFAULT_TENANT
    hits: PlacePath = ""
    passage: PassageFields
    markup: Literal["text", "html"] = "text"

    @model_validator(mode="after")
    def _the_words_are_asked_for(self) -> Self:
        asked = self.path if self.method == "GET" else json.dumps(self.body, ensure_ascii=False)
        unknown = sorted(set(re.findall(r"\{([a-z_]+)\}", asked)) - _OF_SEARCH)
        if unknown:
            raise ValueError(f"no such placeholder: {', '.join(unknown)}")
        if "{words}" not in asked:
            raise ValueError("{words} must stand in path (GET) or body (POST)")
        return self

    def serves(self, tenant: str) -> bool:
        return "{tenant}" in self.path + json.dumps(self.body) or tenant == self.tenant


class OpenSearchFields(_Table):
    """Of a document. `article_id` is the field with its article's id where a document is a piece of one; left out: `_id`."""

    title: FieldPath = "title"
    text: FieldPath = "text"
    article_id: FieldPath | None = None
    url: FieldPath | None = None
    heading: FieldPath | None = None
    category: FieldPath | None = None
    language: FieldPath | None = None


class OpenSearchIndex(_Table):
    """
    `search_fields` may have weights, as in `title^2`. `vector_field` is a `knn_vector` with the space `cosinesimil`; whoever
    filled it says in `_meta.embedder` of the mapping which embedder made it (its name in `careline doctor`). `filter` is a query
    that every document shown must fit, such as one for what is public.
    """

    url: Annotated[str, AfterValidator(_service)]
    index: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,254}$")
    tenant: str = DEFAULT_TENANT
    tenant_field: FieldPath | None = None
    fields: OpenSearchFields = OpenSearchFields()
    search_fields: Annotated[tuple[str, ...], Field(min_length=1)] = ("title^2", "text")
    vector_field: FieldPath | None = None
    filter: dict[str, Any] | None = None
    markup: Literal["text", "html"] = "text"

    def serves(self, tenant: str) -> bool:
        return self.tenant_field is not None or tenant == self.tenant

    @property
    def passage(self) -> PassageFields:
        """Where each stands in a hit; the score and the cosine are put in by whoever has put the two searches together."""
        own = self.fields

        def source(name: str | None) -> str | None:
            return None if name is None else f"_source.{name}"

        return PassageFields(
            article_id=source(own.article_id) or "_id",
            title=f"_source.{own.title}",
            text=f"_source.{own.text}",
            url=source(own.url),
            heading=source(own.heading),
            category=source(own.category),
            language=source(own.language),
            score="_score",
            cosine="_cosine",
        )


def credential_header(text: str) -> tuple[str, str]:
    """
    The header that `bearer TOKEN`, `basic USER:PASSWORD` or `NAME: VALUE` stands for.

    Raises:
        ValueError: it is none of them.
    """
    shape = "must be: bearer TOKEN, or basic USER:PASSWORD, or NAME: VALUE for a header of its own"
    kind, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    match kind.lower():
        case "bearer" if _VISIBLE.fullmatch(rest) and " " not in rest:
            return "Authorization", f"Bearer {rest}"
        case "basic" if ":" in rest and rest.isprintable():
            return "Authorization", f"Basic {base64.b64encode(rest.encode()).decode()}"
    header = _HEADER.fullmatch(text.strip())
    if header is None or _VISIBLE.fullmatch(header[2]) is None:
        raise ValueError(shape)
    return header[1], header[2]


TableValue = BeforeValidator(table)
