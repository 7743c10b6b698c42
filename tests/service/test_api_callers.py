"""Who may do what: the contract's table of callers, over real sockets."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.identity import CallerKind, Role
from tests.service.api_service import VISITOR_SECRET, Served, listening, serving

SERVER_KEY = "server-key-of-16-or-more"
OPERATOR_KEY = "operator-key-of-16-or-more"
SECRET = "the company's secret, 32 bytes or more"
KEYS = f"shop:{SERVER_KEY},desk:{OPERATOR_KEY}:acme:operator"
COMPANY: dict[str, Any] = {"api_keys": KEYS, "identity_secret": SECRET}


def claims(**changed: Any) -> dict[str, Any]:
    ends = datetime.now(UTC) + timedelta(hours=1)
    return {"sub": "c-1", "aud": "careline", "exp": int(ends.timestamp()), **changed}


def token(secret: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **changed: Any) -> str:
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(claims(**changed), secret, algorithm=algorithm, headers=headers)


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


async def say(served: Served, credential: str | None, **fields: Any) -> httpx.Response:
    headers = bearer(credential) if credential is not None else {}
    return await served.client.post("/v1/chat", json={"message": "hi", **fields}, headers=headers)


# -- servers ---------------------------------------------------------------------------------------


async def test_a_server_acts_for_any_customer_of_its_tenant() -> None:
    async with serving(**COMPANY) as served:
        answer = await say(served, OPERATOR_KEY, customer_id="c-7")

    caller = served.turns.submitted[0].caller
    assert answer.status_code == 200
    assert (caller.kind, caller.tenant, caller.customer_id, caller.role, caller.name) == (
        CallerKind.SERVER,
        "acme",
        "c-7",
        Role.OPERATOR,
        "desk",
    )


async def test_a_key_may_come_as_the_password_of_basic() -> None:
    async with serving(**COMPANY) as served:
        answer = await served.client.post("/v1/chat", json={"message": "hi"}, auth=("anything", SERVER_KEY))

    assert answer.status_code == 200
    assert served.turns.submitted[0].caller.kind is CallerKind.SERVER


async def test_tenants_do_not_see_each_other() -> None:
    async with serving(**COMPANY) as served:
        answer = (await say(served, SERVER_KEY, customer_id="c-1")).json()
        paths = [
            f"/v1/conversations/{answer['conversation_id']}",
            f"/v1/conversations/{answer['conversation_id']}/messages",
            f"/v1/turns/{answer['turn_id']}",
        ]
        own = [(await served.client.get(path, headers=bearer(SERVER_KEY))).status_code for path in paths]
        other = [(await served.client.get(path, headers=bearer(OPERATOR_KEY))).status_code for path in paths]

    assert own == [200, 200, 200]
    assert other == [404, 404, 404]


# -- customers -------------------------------------------------------------------------------------


async def test_a_customer_is_whom_the_token_names() -> None:
    async with serving(**COMPANY) as served:
        answer = await say(served, token(tenant="acme", email="a@example.org", name="Ada", locale="fr"))

    caller = served.turns.submitted[0].caller
    assert answer.status_code == 200
    assert (caller.kind, caller.tenant, caller.customer_id) == (CallerKind.CUSTOMER, "acme", "c-1")
    assert (caller.email, caller.name, caller.locale) == ("a@example.org", "Ada", "fr")


async def test_a_customer_names_no_customer() -> None:
    async with serving(**COMPANY) as served:
        answer = await say(served, token(), customer_id="c-2")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "customer_id"]
    assert served.turns.submitted == []


async def test_a_customer_reads_only_what_is_theirs() -> None:
    async with serving(**COMPANY) as served:
        answer = (await say(served, token())).json()
        path = f"/v1/conversations/{answer['conversation_id']}"
        mine = await served.client.get(path, headers=bearer(token()))
        theirs = await served.client.get(path, headers=bearer(token(sub="c-2")))
        their_turn = await served.client.get(
            f"/v1/turns/{answer['turn_id']}", headers=bearer(token(sub="c-2"))
        )

    assert mine.status_code == 200
    assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found")
    assert their_turn.status_code == 404


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, claims()]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, ""])


def far(hours: float) -> int:
    return int((datetime.now(UTC) + timedelta(hours=hours)).timestamp())


REFUSED: Mapping[str, str] = {
    "alg none": unsigned(),
    "alg HS512": token(secret=SECRET * 2, algorithm="HS512"),
    "another secret": token(secret="x" * 40),
    "wrong audience": token(aud="else"),
    "expired": token(exp=far(-0.01)),
    "lives 25 hours": token(exp=far(25)),
    "lives for ever": token(exp=10**18),
    "not yet": token(nbf=far(1)),
    "exp is true": jwt.encode({**claims(), "exp": True}, SECRET, algorithm="HS256"),
    "no exp": jwt.encode({"sub": "c-1", "aud": "careline"}, SECRET, algorithm="HS256"),
    "no sub": jwt.encode({k: v for k, v in claims().items() if k != "sub"}, SECRET, algorithm="HS256"),
    "empty sub": token(sub=""),
    "a visitor's sub": token(sub="anon_x"),
    "sub with NUL": token(sub="c\x00"),
    "tenant is a number": jwt.encode(claims(tenant=3), SECRET, algorithm="HS256"),
    "no token": "abc",
    "two dots": "a.b.c",
    "a key with one letter more": SERVER_KEY + "x",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_token_that_proves_nothing_is_refused(name: str) -> None:
    async with serving(**COMPANY) as served:
        answer = await say(served, REFUSED[name])

    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert served.turns.submitted == []


@pytest.mark.parametrize("header", ["", "Bearer", "Basic %%%", "Digest abc", "Bearer " + "x" * 9000])
async def test_credentials_that_cannot_be_read_are_refused(header: str) -> None:
    async with serving(**COMPANY) as served:
        answer = await served.client.post(
            "/v1/chat", json={"message": "hi"}, headers={"Authorization": header}
        )

    assert answer.status_code == 401


async def test_without_credentials_nobody_is_served() -> None:
    async with serving(**COMPANY) as served:
        answers = [
            await say(served, None),
            await served.client.get("/v1/conversations/conv_x"),
            await served.client.get("/v1/turns/turn_x"),
        ]
        open_to_all = [
            await served.client.get(path) for path in ("/livez", "/readyz", "/metrics", "/openapi.json")
        ]

    assert [each.status_code for each in answers] == [401, 401, 401]
    assert [each.status_code for each in open_to_all] == [200, 200, 200, 200]


# -- customers, by the company's published keys ----------------------------------------------------

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


class KeyServer:
    """The company's JWKS endpoint."""

    def __init__(self) -> None:
        self.keys = [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa"},
            {**jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec"},
            {"kty": "oct", "k": base64.urlsafe_b64encode(b"published secret" * 2).decode(), "kid": "oct"},
        ]
        self.asked = 0
        self.is_broken = False

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        if self.is_broken:
            return Response("<html>", status_code=500)
        return JSONResponse({"keys": self.keys})

    def add_ed(self) -> None:
        self.keys.append({**jwt.algorithms.OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"})


@asynccontextmanager
async def with_published_keys() -> AsyncIterator[tuple[Served, KeyServer]]:
    keys = KeyServer()
    async with (
        listening(Starlette(routes=[Route("/jwks", keys.answer)])) as port,
        httpx.AsyncClient(timeout=2) as client,
        serving(identity_jwks_url=f"http://127.0.0.1:{port}/jwks", identity_client=client) as served,
    ):
        yield served, keys


async def test_published_keys_are_fetched_once_and_prove_customers() -> None:
    async with with_published_keys() as (served, keys):
        by_rsa = await say(served, token(RSA, "RS256", "rsa"))
        by_ec = await say(served, token(EC, "ES256", "ec"))

    assert (by_rsa.status_code, by_ec.status_code) == (200, 200)
    assert keys.asked == 1


async def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_made_up_one() -> None:
    async with with_published_keys() as (served, keys):
        await say(served, token(RSA, "RS256", "rsa"))
        made_up = [await say(served, token(ED, "EdDSA", f"no-{n}")) for n in range(5)]
        asked_for_made_up = keys.asked
        keys.add_ed()
        served.clock.ahead_seconds = 11
        by_ed = await say(served, token(ED, "EdDSA", "ed"))

    assert {each.status_code for each in made_up} == {401}
    assert asked_for_made_up == 1
    assert by_ed.status_code == 200
    assert keys.asked == 2


async def test_a_published_key_does_not_become_a_shared_secret() -> None:
    published = base64.urlsafe_b64encode(b"published secret" * 2)

    async with with_published_keys() as (served, _):
        answers = [
            await say(served, token(published.decode() * 2, "HS256", "rsa")),
            await say(served, token(b"published secret" * 2, "HS256", "oct")),
            await say(served, token(EC, "ES256", "rsa")),
        ]

    assert [each.status_code for each in answers] == [401, 401, 401]


async def test_known_keys_serve_on_while_the_key_server_is_broken() -> None:
    async with with_published_keys() as (served, keys):
        await say(served, token(RSA, "RS256", "rsa"))
        keys.is_broken = True
        served.clock.ahead_seconds = 700
        answer = await say(served, token(RSA, "RS256", "rsa", exp=far(2)))

    assert answer.status_code == 200
    assert keys.asked == 2


async def test_without_any_key_it_is_our_outage_not_the_customers_fault() -> None:
    async with with_published_keys() as (served, keys):
        keys.is_broken = True
        answer = await say(served, token(RSA, "RS256", "rsa"))

    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.json()["stored"] is False
    assert "retry-after" in answer.headers


# -- visitors --------------------------------------------------------------------------------------


async def visit(served: Served, known: str | None = None) -> httpx.Response:
    return await served.client.post("/v1/visitors", headers=bearer(known) if known is not None else {})


async def test_a_visitor_gets_a_name_and_may_chat() -> None:
    async with serving(**COMPANY) as served:
        visitor = (await visit(served)).json()
        answer = await say(served, visitor["token"])

    caller = served.turns.submitted[0].caller
    assert answer.status_code == 200
    assert visitor["customer_id"].startswith("anon_")
    assert (caller.kind, caller.customer_id) == (CallerKind.VISITOR, visitor["customer_id"])
    assert not caller.has_account


async def test_a_renewed_token_names_the_same_visitor_for_a_day_after_its_end() -> None:
    async with serving(**COMPANY, visitor_token_minutes=10) as served:
        first = (await visit(served)).json()
        served.clock.ahead_seconds = 11 * 60
        refused = await say(served, first["token"])
        renewed = await visit(served, first["token"])
        accepted = await say(served, renewed.json()["token"])
        served.clock.ahead_seconds = 25 * 3600
        too_late = await visit(served, first["token"])

    assert refused.status_code == 401
    assert renewed.status_code == 201
    assert renewed.json()["customer_id"] == first["customer_id"]
    assert accepted.status_code == 200
    assert too_late.status_code == 401


async def test_nobody_else_can_make_a_visitors_token() -> None:
    made = {"sub": "anon_x", "tenant": "default", "aud": "careline-visitor", "exp": far(1)}
    as_customer = {**made, "aud": "careline"}

    async with serving(**COMPANY) as served:
        answers = [
            await say(served, "vis_" + jwt.encode(made, SECRET, algorithm="HS256")),
            await say(served, "vis_" + jwt.encode(as_customer, VISITOR_SECRET, algorithm="HS256")),
            await say(served, jwt.encode(as_customer, VISITOR_SECRET, algorithm="HS256")),
        ]

    assert [each.status_code for each in answers] == [401, 401, 401]


async def test_where_visitors_are_not_wanted_their_tokens_mean_nothing() -> None:
    async with serving(**COMPANY) as served:
        visitor = (await visit(served)).json()
    async with serving(**COMPANY, allow_anonymous=False) as strict:
        refused = await visit(strict)
        answer = await say(strict, visitor["token"])

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert answer.status_code == 401


async def test_one_address_makes_only_so_many_visitors_a_minute() -> None:
    async with serving(**COMPANY) as served:
        statuses = [(await visit(served)).status_code for _ in range(121)]

    assert statuses == [201] * 120 + [429]


async def test_a_visitors_conversation_is_claimed_once_by_the_customer_who_signs_in() -> None:
    async with serving(**COMPANY) as served:
        visitor = (await visit(served)).json()
        conversation_id = (await say(served, visitor["token"])).json()["conversation_id"]
        path, body = f"/v1/conversations/{conversation_id}/claim", {"visitor_token": visitor["token"]}
        claimed = await served.client.post(path, json=body, headers=bearer(token()))
        again = await served.client.post(path, json=body, headers=bearer(token()))
        by_another = await served.client.post(path, json=body, headers=bearer(token(sub="c-2")))
        visitor_reads = await served.client.get(
            f"/v1/conversations/{conversation_id}", headers=bearer(visitor["token"])
        )
        customer_goes_on = await say(served, token(), conversation_id=conversation_id)

    assert (claimed.status_code, claimed.json()["customer_id"]) == (200, "c-1")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert again.json()["detail"] == "This conversation belongs to this customer already."
    assert by_another.status_code == 404
    assert visitor_reads.status_code == 404
    assert customer_goes_on.status_code == 200


async def test_a_claim_needs_the_visitors_own_token_and_a_signed_in_customer() -> None:
    async with serving(**COMPANY) as served:
        visitor, stranger = (await visit(served)).json(), (await visit(served)).json()
        conversation_id = (await say(served, visitor["token"])).json()["conversation_id"]
        path = f"/v1/conversations/{conversation_id}/claim"

        async def claim(credential: str, visitor_token: str) -> int:
            body = {"visitor_token": visitor_token}
            return (await served.client.post(path, json=body, headers=bearer(credential))).status_code

        statuses = [
            await claim(token(), stranger["token"]),
            await claim(token(), "vis_made.up.token"),
            await claim(token(), token(sub=visitor["customer_id"])),
            await claim(stranger["token"], visitor["token"]),
            await claim(SERVER_KEY, visitor["token"]),
            await claim(token(tenant="acme"), visitor["token"]),
        ]

    assert statuses == [404, 401, 401, 403, 403, 404]


async def test_a_visitor_of_one_tenant_claims_nothing_in_another() -> None:
    async with serving(**COMPANY) as served:
        visitor = (await visit(served)).json()
        namesake = (await say(served, OPERATOR_KEY, customer_id=visitor["customer_id"])).json()
        claimed = await served.client.post(
            f"/v1/conversations/{namesake['conversation_id']}/claim",
            json={"visitor_token": visitor["token"]},
            headers=bearer(token(tenant="acme")),
        )

    assert claimed.status_code == 404


# -- local mode and browsers -----------------------------------------------------------------------


async def test_local_mode_asks_for_nothing_and_ignores_the_key_that_clients_always_send() -> None:
    async with serving() as served:
        answers = [await say(served, None), await say(served, "sk-none", customer_id="c-1")]

    assert [each.status_code for each in answers] == [200, 200]
    assert [each.caller.customer_id for each in served.turns.submitted] == [None, "c-1"]


@pytest.mark.parametrize(
    "host", ["careline.example", "127.0.0.1.example", "localhost.example:80", "10.0.0.1", ""]
)
async def test_local_mode_refuses_a_host_name_that_only_points_here(host: str) -> None:
    async with serving() as served:
        answer = await served.client.post("/v1/chat", json={"message": "hi"}, headers={"Host": host})

    assert answer.status_code in (400, 403)
    assert served.turns.submitted == []


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.2", "[::1]:8000", "LOCALHOST"])
async def test_local_mode_answers_every_name_of_this_machine(host: str) -> None:
    async with serving() as served:
        answer = await served.client.get("/livez", headers={"Host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:8000", 200),
        ("https://shop.example", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
async def test_local_mode_answers_pages_of_this_machine_and_of_listed_sites(origin: str, status: int) -> None:
    async with serving(allowed_origins=("https://shop.example",)) as served:
        answer = await served.client.post("/v1/chat", json={"message": "hi"}, headers={"Origin": origin})

    assert answer.status_code == status
    assert len(served.turns.submitted) == (1 if status == 200 else 0)


async def test_only_listed_sites_may_embed_the_widget() -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    async with serving(**COMPANY, allowed_origins=("https://shop.example",)) as served:
        listed = await served.client.options(
            "/v1/chat", headers={**preflight, "Origin": "https://shop.example"}
        )
        other = await served.client.options(
            "/v1/chat", headers={**preflight, "Origin": "https://evil.example"}
        )
        refused = await served.client.post("/v1/chat", headers={"Origin": "https://shop.example"})

    assert listed.status_code == 204
    assert listed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "authorization" in listed.headers["access-control-allow-headers"].lower()
    assert "idempotency-key" in listed.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in other.headers
    assert other.status_code == 405
    assert other.headers["vary"] == "Origin"
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
