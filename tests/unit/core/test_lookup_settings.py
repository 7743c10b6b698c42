"""A mapping that cannot work stops the start and says which field of it; what docs/connectors.md shows can be used."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.lookup_settings import (
    CustomerFields,
    CustomersApi,
    CustomersSql,
    KnowledgeApi,
    OrderFields,
    OrdersApi,
    OrdersTable,
    PassageFields,
    credential_header,
)
from core.settings import Settings

CUSTOMER = {"customer_id": "id", "name": "name"}
ORDER = {"order_id": "id", "placed_at": "at", "status": "s", "total": "sum", "default_currency": "EUR"}
API: dict[str, Any] = {"url": "https://crm.example", "path": "/c/{customer_id}", "customer": CUSTOMER}
SQL: dict[str, Any] = {"table": "crm.clients", "customer": CUSTOMER}
SEARCH: dict[str, Any] = {
    "url": "https://search.example",
    "hits": "hits",
    "passage": {"article_id": "id", "title": "t", "text": "x"},
}
TABLES = (
    *(CustomersApi, OrdersApi, CustomersSql, OrdersTable, KnowledgeApi),
    *(CustomerFields, OrderFields, PassageFields),
)
DOCS = Path(__file__).parents[3] / "docs" / "connectors.md"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def orders(**changes: Any) -> dict[str, Any]:
    return API | {"orders": {"path": "/c/{customer_id}/o", "fields": ORDER} | changes}


@pytest.mark.parametrize(
    ("name", "table", "where", "said"),
    [
        ("customers_api", API | {"url": "crm.example"}, "url", "must begin with http"),
        ("customers_api", API | {"url": "https://me:pass@crm.example"}, "url", "without credentials"),
        ("customers_api", API | {"path": "/c"}, "path", "must hold {customer_id}"),
        ("customers_api", API | {"path": "c/{customer_id}"}, "path", "must begin with /"),
        ("customers_api", API | {"path": "/c/{customer_id}/{id}"}, "path", "no other braces"),
        ("customers_api", API | {"path": "/c/{customer_id}}"}, "path", "no other braces"),
        ("customers_api", API | {"customer": {"customer_id": "id"}}, "customer.name", "Field required"),
        ("customers_api", API | {"customer": CUSTOMER | {"mail": "m"}}, "customer.mail", "Extra inputs"),
        ("customers_api", API | {"customer": CUSTOMER | {"email": "a..b"}}, "customer.email", "is no path"),
        ("customers_api", API | {"customer": CUSTOMER | {"email": "/a~3"}}, "customer.email", "after ~"),
        ("customers_api", orders(pages="url"), "orders", "next (a field) belongs"),
        ("customers_api", orders(pages="cursor", next="n"), "orders", "parameter (a query parameter)"),
        ("customers_api", orders(path=None), "orders", "without path, list says"),
        ("customers_api", orders(pages="some"), "orders.pages", "Input should be"),
        ("customers_api", orders(fields=ORDER | {"default_currency": "€"}), "orders.fields.default_currency", "ISO 4217"),
        ("customers_api", orders(fields=ORDER | {"default_currency": None}), "orders.fields", "needs currency"),
        ("customers_api", orders(fields=ORDER | {"item": "x"}), "orders.fields", "set items too"),
        ("customers_api", orders(fields=ORDER | {"naive_dates_in": "Berlin"}), "orders.fields.naive_dates_in", "IANA"),
        ("customers_sql", SQL | {"table": "a; DROP TABLE b"}, "", "is no name of a table or column"),
        ("customers_sql", SQL | {"table": "a.b.c"}, "", "SCHEMA.TABLE"),
        ("customers_sql", SQL | {"customer": CUSTOMER | {"email": "lower(mail)"}}, "", "make a view"),
        ("customers_sql", SQL | {"id_type": "number"}, "id_type", "Input should be"),
        ("knowledge_api", SEARCH | {"body": {"q": "all"}}, "", "{words} must stand in"),
        ("knowledge_api", SEARCH | {"body": {"q": "{words} {size}"}}, "", "no such placeholder: size"),
        ("knowledge_api", SEARCH | {"method": "GET"}, "", "{words} must stand in"),
        ("knowledge_api", SEARCH | {"passage": {"title": "t", "text": "x"}}, "passage.article_id", "Field required"),
        ("knowledge_api", SEARCH | {"markup": "markdown"}, "markup", "Input should be"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named(name: str, table: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({name: table})

    problems = {".".join(str(part) for part in each["loc"]): each["msg"] for each in refused.value.errors()}
    place = f"{name}.{where}".rstrip(".")
    assert place in {found.removesuffix(".constrained-str") for found in problems}, problems
    assert said in problems[place]


def test_a_table_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARELINE_CUSTOMERS_API", json.dumps(API))
    api = Settings().customers_api
    assert api is not None
    assert api.customer.customer_id == "id"

    monkeypatch.setenv("CARELINE_CUSTOMERS_API", "{not json")
    with pytest.raises(ValidationError, match="a JSON object in the environment"):
        Settings()


def test_only_one_place_knows_the_customers() -> None:
    with pytest.raises(ValidationError, match="only one is asked"):
        Settings.model_validate({"customers_api": API, "customers_sql": SQL})


@pytest.mark.parametrize("name", ["customers_credentials", "knowledge_credentials"])
def test_credentials_that_nothing_uses_are_a_slip(name: str) -> None:
    with pytest.raises(ValidationError, match="_API is not"):
        Settings.model_validate({name: "bearer abc"})


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("bearer abc.def", ("Authorization", "Bearer abc.def")),
        ("Bearer  abc", ("Authorization", "Bearer abc")),
        ("basic anna:p:w ä", ("Authorization", "Basic YW5uYTpwOncgw6Q=")),
        ("X-Api-Key: abc def", ("X-Api-Key", "abc def")),
    ],
)
def test_credentials_make_a_header(text: str, header: tuple[str, str]) -> None:
    assert credential_header(text) == header


@pytest.mark.parametrize(
    "text", ["", "bearer", "bearer a b", "basic anna", "abc", "X: a\r\nY: b", "X Y: a", "X: ä", ": a"]
)
def test_credentials_that_make_none_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValidationError, match="bearer TOKEN") as refused:
        Settings.model_validate({"customers_api": API, "customers_credentials": text or " "})

    assert not text or repr(text) not in str(refused.value)


def test_what_the_page_shows_can_be_used_as_it_stands() -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert len(examples) >= 4
    for example in examples:
        Settings.model_validate(tomllib.loads(example))


def test_the_page_names_every_field_of_the_tables() -> None:
    page = DOCS.read_text(encoding="utf-8")
    fields = {field for table in TABLES for field in table.model_fields}

    assert sorted(field for field in fields if f"`{field}`" not in page) == []
