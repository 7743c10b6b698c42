"""Whatever a CRM or a search over HTTP does, the right error comes of it, in time, and nobody's data with it."""

import gzip
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    DependencyError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.http import make_client
from core.lookup_settings import CustomersApi
from tests.contracts import crm
from tests.contracts.test_knowledge_searches import api as knowledge_api
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tools.adapters.http_customers import HttpCustomerDirectory
from tools.knowledge.http_search import HttpKnowledgeSearch

TLS = ssl.create_default_context()
SECRET = "Bearer t0p-s3cret-of-the-crm"


async def failure_of(what: str, answer: Answer | Callable[[Asked], Answer], **limits: Any) -> CarelineError:
    answering = answer if callable(answer) else lambda _: answer
    values: dict[str, Any] = {"timeout_seconds": 5.0, "answer_bytes": 20_000}
    async with (
        FaultyServer(answering).listening() as server,
        make_client(
            what, base_url=server.url, tls=TLS, headers={"Authorization": SECRET}, **(values | limits)
        ) as client,
    ):
        directory = HttpCustomerDirectory(client, crm.api(server.url, "link"))
        search = HttpKnowledgeSearch(client, knowledge_api(server.url, "POST"))
        asking: dict[str, Coroutine[Any, Any, object]] = {
            "customers": directory.customer("default", "1001"),
            "knowledge": search.search("default", "warranty", limit=3),
        }
        asked = asking.pop(what)
        for other in asking.values():
            other.close()
        with pytest.raises(CarelineError) as raised:
            await asked
    assert "s3cret" not in str(raised.value)
    return raised.value


both = pytest.mark.parametrize("what", ["customers", "knowledge"])


@pytest.mark.alone
@both
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(status=400), DependencyRejectedInput),
        (Answer(status=401), DependencyRefusedUs),
        (Answer(status=403), DependencyForbidsUs),
        (Answer(status=422), DependencyRejectedInput),
        (Answer(status=429, headers={"Retry-After": "7"}), RateLimited),
        (Answer(status=500), ExternalApiFailed),
        (Answer(status=502), ExternalApiFailed),
        (Answer(status=503, headers={"Retry-After": "7"}), DependencyUnavailable),
        (Answer(status=504), DependencyTimeout),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}), ExternalApiFailed),
        (Answer(resets=True), NetworkFailed),
        (Answer(is_silent=True), DependencyTimeout),
        (Answer(body=b'{"customer": ' + b" " * 100, drip_seconds=0.1), DependencyTimeout),
        (Answer(body=b""), ExternalApiFailed),
        (Answer(body=b"<html>Maintenance</html>"), ExternalApiFailed),
        (Answer(body=b'{"customer": {"id": 10'), ExternalApiFailed),
        (Answer(body=b'{"a": "\xff\xfe"}'), ExternalApiFailed),
        (Answer(body=b"[" * 5_000), ExternalApiFailed),
        (Answer(body=b'{"x": "' + b"y" * 30_000 + b'"}'), ExternalApiFailed),
        (
            Answer(body=gzip.compress(b"y" * 9_000_000), headers={"Content-Encoding": "gzip"}),
            ExternalApiFailed,
        ),
    ],
)
async def test_every_way_to_fail_has_its_error(
    what: str, answer: Answer, expected: type[CarelineError]
) -> None:
    started = time.monotonic()
    limits = (
        {"timeout_seconds": 0.3, "connect_seconds": 0.1} if answer.is_silent or answer.drip_seconds else {}
    )

    error = await failure_of(what, answer, **limits)

    assert type(error) is expected
    assert error.retry_after == (7.0 if "Retry-After" in answer.headers else None)
    if isinstance(error, DependencyError | RateLimited):
        assert error.dependency == what
    assert time.monotonic() - started < 3.0


async def test_a_404_is_an_unknown_customer_but_a_search_that_is_not_there() -> None:
    assert type(await failure_of("customers", Answer(status=404))) is NotFound
    assert type(await failure_of("knowledge", Answer(status=404))) is ToolMisconfigured


@pytest.mark.parametrize(
    "document",
    [None, 5, "text", [], {}, {"hits": None}, {"hits": {"hits": {}}}, {"hits": {"hits": [1]}},
     {"hits": {"hits": [{"_source": {"title": "T", "body": "B"}}]}},
     {"hits": {"hits": [{"_id": "1", "_source": {"title": ["T"], "body": "B"}}]}},
     {"hits": {"hits": [{"_id": "1", "_score": "high", "_source": {"title": "T", "body": "B"}}]}}],
)  # fmt: skip
async def test_a_search_whose_answer_is_of_another_kind_is_no_empty_result(document: Any) -> None:
    error = await failure_of("knowledge", as_json(document))

    assert type(error) is DataIntegrityFailed


def changed(**changes: Any) -> dict[str, Any]:
    return {"customer": crm.as_crm_customer(crm.ANNA) | changes}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"customer": []}, "no object"),
        ({"customer": "Anna"}, "no object"),
        (changed(id=None), "customer_id (id) is missing"),
        (changed(id=True), "customer_id (id) is no text"),
        (changed(id={"v": 1001}), "customer_id (id) is no text"),
        (changed(id=1002), "another customer"),
        (changed(person={}), "name (person.first, person.last) is missing"),
        (changed(person={"first": ["A"]}), "name (person.first, person.last) is no text"),
        (
            changed(loyalty={"plan": {"id": 1, "secret": "x"}}),
            "attributes.plan (loyalty.plan) is no plain value",
        ),
    ],
)
async def test_a_customer_of_another_kind_is_named_by_field_and_never_by_value(
    document: Any, said: str
) -> None:
    error = await failure_of(
        "customers",
        lambda asked: as_json({"data": []}) if asked.path.endswith("orders") else as_json(document),
    )

    assert type(error) is DataIntegrityFailed
    assert said.partition(",")[0] in str(error)
    assert "Anna" not in str(error)


async def test_an_answer_without_the_customer_is_an_unknown_customer() -> None:
    assert type(await failure_of("customers", as_json({"customer": None}))) is NotFound


def with_orders(page: Answer) -> Callable[[Asked], Answer]:
    def answer(asked: Asked) -> Answer:
        return page if asked.path.endswith("orders") else crm.Crm("link")(asked)

    return answer


ORDER = crm.as_crm_order(crm.ANNA.orders[0])


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ({"data": {}}, "orders.list (data) is no list"),
        ({"data": None}, "orders.list (data) is no list"),
        ({"data": ["A-1"]}, "an order is no object"),
        ({"data": [ORDER | {"number": None}]}, "order_id (number) is missing"),
        ({"data": [ORDER | {"created": "yesterday"}]}, "placed_at (created) is no date (iso)"),
        ({"data": [ORDER | {"created": 1_790_000_000}]}, "placed_at (created) is no date (iso)"),
        ({"data": [ORDER | {"created": None}]}, "placed_at (created) is missing"),
        ({"data": [ORDER | {"created": "9999-12-31T23:59:59-12:00"}]}, "placed_at (created) is no date that"),
        (
            {"data": [ORDER | {"sum": {"amount": "12,50", "currency": "EUR"}}]},
            "total (sum.amount) is no amount",
        ),
        (
            {"data": [ORDER | {"sum": {"amount": "NaN", "currency": "EUR"}}]},
            "total (sum.amount) is no amount",
        ),
        (
            {"data": [ORDER | {"sum": {"amount": "1e400", "currency": "EUR"}}]},
            "total (sum.amount) is no amount",
        ),
        ({"data": [ORDER | {"sum": {"amount": True, "currency": "EUR"}}]}, "total (sum.amount) is no amount"),
        (
            {"data": [ORDER | {"sum": {"amount": "1", "currency": "€"}}]},
            "currency (sum.currency) is no currency",
        ),
        ({"data": [ORDER | {"lines": {"title": "x"}}]}, "items (lines) is no list"),
        ({"data": [ORDER | {"lines": [{"title": 5}]}]}, "items (lines, title) is no list of names"),
    ],
)
async def test_an_order_of_another_kind_is_named_by_field(orders: Any, said: str) -> None:
    error = await failure_of("customers", with_orders(as_json(orders)))

    assert type(error) is DataIntegrityFailed
    assert said in str(error)


async def test_orders_that_cannot_be_found_are_no_empty_list_unless_that_is_declared() -> None:
    missing = with_orders(Answer(status=404))

    assert type(await failure_of("customers", missing)) is ToolMisconfigured

    async with FaultyServer(missing).listening() as server:
        declared = crm.api(server.url, "link")
        assert declared.orders is not None
        orders = declared.orders.model_copy(update={"none_is_404": True})
        async with make_client("customers", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client:
            directory = HttpCustomerDirectory(client, declared.model_copy(update={"orders": orders}))
            assert (await directory.customer("default", "1001")).orders == ()


@pytest.mark.parametrize("elsewhere", ["http://evil.example/p2", "//evil.example/p2", "http://[", "https:/x"])
async def test_a_next_page_on_another_host_does_not_get_our_credentials(elsewhere: str) -> None:
    page = as_json({"data": [ORDER]}, Link=f'<{elsewhere}>; rel="next"')

    error = await failure_of("customers", with_orders(page))

    assert isinstance(error, ExternalApiFailed)
    assert error.reason == "foreign_page"


async def test_pages_that_lead_in_a_circle_or_never_end_are_given_up() -> None:
    circle = as_json({"data": [ORDER]}, Link='</v2/customers/1001/orders>; rel="next"')
    numbers = iter(range(10_000))

    def endless(asked: Asked) -> Answer:
        return as_json({"data": [ORDER]}, Link=f'<?p={next(numbers)}>; rel="next"')

    assert type(await failure_of("customers", with_orders(circle))) is DataIntegrityFailed
    error = await failure_of(
        "customers", lambda asked: endless(asked) if "orders" in asked.path else crm.Crm("link")(asked)
    )
    assert type(error) is ToolMisconfigured
    assert "orders.newest_first" in str(error)


async def test_a_crm_that_sorts_is_asked_for_no_more_pages_than_are_shown() -> None:
    async with (
        FaultyServer(crm.Crm("url")).listening() as server,
        make_client("customers", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        await HttpCustomerDirectory(client, crm.api(server.url, "url")).customer("default", "1001")

    assert [asked.path for asked in server.asked] == [
        "/v2/customers/1001",
        *["/v2/customers/1001/orders"] * 2,
    ]


async def test_a_tenant_in_the_path_is_asked_for_by_its_name_and_nothing_else() -> None:
    async with FaultyServer(lambda _: Answer(status=404)).listening() as server:
        declared = CustomersApi.model_validate(
            {
                "url": server.url + "/base/",
                "path": "/{tenant}/customers/{customer_id}",
                "customer": {"customer_id": "id", "name": "name"},
            }
        )
        async with make_client("customers", base_url=declared.url, timeout_seconds=5.0, tls=TLS) as client:
            for tenant in ("acme", "../x", "{customer_id}"):
                with pytest.raises(NotFound):
                    await HttpCustomerDirectory(client, declared).customer(tenant, "a/b ü")

    assert [asked.target for asked in server.asked] == [
        "/base/acme/customers/a%2Fb%20%C3%BC",
        "/base/..%2Fx/customers/a%2Fb%20%C3%BC",
        "/base/%7Bcustomer_id%7D/customers/a%2Fb%20%C3%BC",
    ]


async def test_an_id_that_would_name_another_resource_is_asked_for_nowhere() -> None:
    async with (
        FaultyServer(crm.Crm("link")).listening() as server,
        make_client("customers", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        directory = HttpCustomerDirectory(client, crm.api(server.url, "link"))
        for customer_id in ("", ".", "..", "9" * 300):
            with pytest.raises(NotFound):
                await directory.customer("default", customer_id)

    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "works"),
    [
        (Answer(), True),
        (Answer(status=429), True),
        (Answer(status=401), False),
        (Answer(status=404), False),
        (Answer(status=503), False),
        (Answer(resets=True), False),
    ],
)
async def test_a_probe_tells_whether_it_serves_us(answer: Answer, works: bool) -> None:
    async with (
        FaultyServer(lambda _: answer).listening() as server,
        make_client("customers", base_url=server.url, timeout_seconds=5.0, tls=TLS) as client,
    ):
        directory = HttpCustomerDirectory(client, crm.api(server.url, "link"))
        if works:
            await directory.probe()
        else:
            with pytest.raises(CarelineError):
                await directory.probe()

    assert server.asked[0].target == "/v2/health"
