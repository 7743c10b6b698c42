"""
Tokens that name a person: customers' JWTs, signed by the company, and visitors' tokens, signed by this
service.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from core.clock import Clock
from core.errors import AuthenticationFailed, DependencyUnavailable
from core.identity import DEFAULT_TENANT, VISITOR_CUSTOMER_PREFIX, Caller, CallerKind
from core.ids import new_id

if TYPE_CHECKING:
    import jwt  # with its cryptography 9 MB, which a service that reads no tokens does not need

CUSTOMER_AUDIENCE = "careline"
VISITOR_PREFIX = "vis_"
_VISITOR_AUDIENCE = "careline-visitor"
_LONGEST_LIFE_SECONDS = 24 * 3600
_CLOCK_SKEW_SECONDS = 60
_RENEWABLE_SECONDS = 24 * 3600
_PUBLIC_KEY_ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
_PUBLIC_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_KEYS_FRESH_SECONDS = 600.0
_KEYS_PAUSE_SECONDS = 10.0
"""A made-up `kid` costs the company's key server one request in this time, not one each."""

_LONGEST_NAME = 128
# Time is checked against our own clock below, so that tests can move it.
_SIGNATURE_AND_AUDIENCE: Any = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "require": ["exp", "sub", "aud"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    tenant: str
    customer_id: str


class VisitorTokens:
    """A visitor keeps one `anon_` id for as long as the token is renewed within a day of its end."""

    def __init__(self, secret: Callable[[], bytes], *, life: timedelta, clock: Clock) -> None:
        self._secret = secret
        self._life = life
        self._clock = clock

    def issue(
        self, visitor: Visitor | None = None, *, tenant: str = DEFAULT_TENANT
    ) -> tuple[str, Visitor, datetime]:
        """A token, whom it names and when it ends; None makes a new visitor."""
        import jwt

        named = visitor or Visitor(tenant=tenant, customer_id=new_id("anon"))
        ends = (self._clock.now() + self._life).replace(microsecond=0)
        claims = {
            "sub": named.customer_id,
            "tenant": named.tenant,
            "aud": _VISITOR_AUDIENCE,
            "exp": int(ends.timestamp()),
        }
        return VISITOR_PREFIX + jwt.encode(claims, self._secret(), algorithm="HS256"), named, ends

    def read(self, token: str, *, is_renewal: bool = False) -> Visitor:
        """
        Whom a token names; for a renewal, one that ended less than a day ago will do.

        Raises:
            AuthenticationFailed: not ours, altered, or too old.
            DependencyUnavailable: it cannot be told yet.
        """
        claims = _decoded(token.removeprefix(VISITOR_PREFIX), self._secret(), "HS256", _VISITOR_AUDIENCE)
        grace = _RENEWABLE_SECONDS if is_renewal else 0
        if self._clock.now().timestamp() >= claims["exp"] + grace:
            raise AuthenticationFailed("The visitor's token has expired.")
        return Visitor(tenant=str(claims["tenant"]), customer_id=str(claims["sub"]))


class CompanyKeys:
    """
    The company's public keys, fetched when needed and kept; old ones serve on while the key server is away.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, *, clock: Clock) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._asked_at: float | None = None
        self._one_at_a_time = asyncio.Lock()

    async def key(self, kid: str | None) -> "jwt.PyJWK | None":
        """
        None: the company has no such key.

        Raises:
            DependencyUnavailable: no keys are known and none can be fetched.
        """
        found = self._find(kid)
        if found is not None and not self._is_older_than(_KEYS_FRESH_SECONDS):
            return found
        async with self._one_at_a_time:
            if self._is_older_than(_KEYS_PAUSE_SECONDS):
                await self._fetch()
        return self._find(kid)

    def _is_older_than(self, seconds: float) -> bool:
        return self._asked_at is None or self._clock.monotonic() - self._asked_at > seconds

    def _find(self, kid: str | None) -> "jwt.PyJWK | None":
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            keys = _usable_keys(response.json())
        except (httpx.HTTPError, ValueError) as exc:
            if not self._keys:
                raise DependencyUnavailable("identity") from exc
        else:
            self._keys = keys
        self._asked_at = self._clock.monotonic()


class CustomerTokens:
    """
    JWTs of the company's own customers: HS256 with the shared secret, or a public-key algorithm with its key
    set.
    """

    def __init__(self, *, secret: str | None, keys: CompanyKeys | None, clock: Clock) -> None:
        if secret is not None or keys is not None:
            import jwt  # noqa: F401 - now, not while the first customer waits
        self._secret = secret
        self._keys = keys
        self._clock = clock

    async def read(self, token: str) -> Caller:
        """
        Raises:
            AuthenticationFailed: for whatever reason; the caller is not told more than is needed to mend it.
            DependencyUnavailable: the company's keys cannot be had.
        """
        import jwt

        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as exc:
            raise AuthenticationFailed("The token cannot be read.") from exc
        algorithm = str(header.get("alg"))
        key: str | jwt.PyJWK | None = None
        if algorithm == "HS256":
            key = self._secret
        elif algorithm in _PUBLIC_KEY_ALGORITHMS and self._keys is not None:
            found = await self._keys.key(header.get("kid"))
            key = found if found is not None and found.algorithm_name == algorithm else None
        if key is None:
            raise AuthenticationFailed(
                "The token is signed with an algorithm or key that is not accepted here."
            )
        return self._caller(_decoded(token, key, algorithm, CUSTOMER_AUDIENCE))

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        now = self._clock.now().astimezone(UTC).timestamp()
        if claims["exp"] <= now:
            raise AuthenticationFailed("The token has expired.")
        if claims["exp"] > now + _LONGEST_LIFE_SECONDS + _CLOCK_SKEW_SECONDS:
            raise AuthenticationFailed("The token lives longer than 24 hours.")
        begins = claims.get("nbf", 0)
        if not _is_number(begins) or begins > now + _CLOCK_SKEW_SECONDS:
            raise AuthenticationFailed("The token is not valid yet.")
        tenant = claims.get("tenant", DEFAULT_TENANT)
        subject = claims["sub"]
        is_ours_to_name = _is_name(subject) and not subject.startswith(VISITOR_CUSTOMER_PREFIX)
        if not _is_name(tenant) or not is_ours_to_name:
            raise AuthenticationFailed(
                "The token names its customer or tenant in a way that is not accepted here."
            )
        return Caller(
            kind=CallerKind.CUSTOMER,
            tenant=tenant,
            customer_id=subject,
            name=_text_or_none(claims.get("name")),
            email=_text_or_none(claims.get("email")),
            locale=_text_or_none(claims.get("locale")),
        )


def _decoded(token: str, key: Any, algorithm: str, audience: str) -> dict[str, Any]:
    import jwt

    try:
        claims = jwt.decode(
            token, key, algorithms=[algorithm], audience=audience, options=_SIGNATURE_AND_AUDIENCE
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise AuthenticationFailed("The token is not valid here.") from exc
    if not _is_number(claims["exp"]):
        raise AuthenticationFailed("The token is not valid here.")
    return claims


def _usable_keys(document: Any) -> "Mapping[str | None, jwt.PyJWK]":
    """Signing keys by `kid`. A symmetric key in a public document would be everybody's, so it is nobody's."""
    import jwt

    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a key set")
    usable: dict[str | None, jwt.PyJWK] = {}
    for entry in document["keys"]:
        if (
            not isinstance(entry, dict)
            or entry.get("kty") not in _PUBLIC_KEY_TYPES
            or entry.get("use") == "enc"
        ):
            continue
        try:
            usable[entry.get("kid")] = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue
    return usable


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 320 and value.isprintable() else None
