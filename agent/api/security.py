"""
Prove who is calling, once per request.

The table of callers is in docs/api.md: server keys, customers' tokens, visitors' tokens, and local mode.
"""

import base64
import hashlib
import hmac
from datetime import timedelta

from starlette.requests import Request

from agent.api.parts import ServiceParts
from agent.api.tokens import VISITOR_PREFIX, CompanyKeys, CustomerTokens, Visitor, VisitorTokens
from agent.api.wire import could_be_ours
from agent.turn.inputs import Turns
from core.errors import AuthenticationFailed, FieldError, NotFound, PermissionDenied, ValidationFailed
from core.identity import Caller, CallerKind
from state.store import ConversationRecord

_LONGEST_CREDENTIAL = 8192


class Callers:
    def __init__(self, parts: ServiceParts) -> None:
        settings = parts.settings
        self._is_local = settings.is_local
        self._allows_anonymous = settings.allow_anonymous
        keys = settings.server_keys()
        self._servers = tuple(
            (
                hashlib.sha256(each.key.encode()).digest(),
                Caller(kind=CallerKind.SERVER, tenant=each.tenant, role=each.role, name=each.name),
            )
            for each in keys
        )
        self._visitors = VisitorTokens(
            parts.visitor_secret, life=timedelta(minutes=settings.visitor_token_minutes), clock=parts.clock
        )
        company_keys = None
        if settings.identity_jwks_url is not None:
            if parts.identity_client is None:
                raise ValueError("CARELINE_IDENTITY_JWKS_URL is set, so an identity_client is needed")
            company_keys = CompanyKeys(parts.identity_client, settings.identity_jwks_url, clock=parts.clock)
        secret = settings.identity_secret
        self._customers = CustomerTokens(
            secret=secret.get_secret_value() if secret is not None else None,
            keys=company_keys,
            clock=parts.clock,
        )

    @property
    def visitors(self) -> VisitorTokens:
        """
        Raises:
            PermissionDenied: visitors without an account are not wanted here.
        """
        if not self._allows_anonymous:
            raise PermissionDenied("Visitors without an account are not served here.")
        return self._visitors

    async def caller(self, request: Request) -> Caller:
        """
        Raises:
            AuthenticationFailed: no credentials, or not valid ones.
        """
        credential = credential_of(request)
        if credential is not None and credential.startswith(VISITOR_PREFIX) and self._allows_anonymous:
            return _as_caller(self._visitors.read(credential))
        if self._is_local:
            # Chat clients send some key always; where nobody is asked for one it means nothing.
            return Caller(kind=CallerKind.LOCAL)
        if credential is None:
            raise AuthenticationFailed("An Authorization header is needed.")
        server = self._server(credential)
        return server if server is not None else await self._customers.read(credential)

    def _server(self, credential: str) -> Caller | None:
        presented = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        matching = None
        for digest, caller in self._servers:  # all of them, whichever matches: the time tells nothing
            if hmac.compare_digest(digest, presented):
                matching = caller
        return matching


def credential_of(request: Request) -> str | None:
    """
    The key or token of the Authorization header: a bearer's, or the password of Basic.

    Raises:
        AuthenticationFailed: the header cannot be read.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and 0 < len(value) <= _LONGEST_CREDENTIAL:
        return value
    if scheme.lower() == "basic" and len(value) <= _LONGEST_CREDENTIAL:
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except ValueError:
            pass
    raise AuthenticationFailed("The Authorization header must be Bearer with a key or token, or Basic.")


def acting_for(caller: Caller, customer_id: str | None) -> Caller:
    """
    The caller, for the customer that a body names.

    Raises:
        ValidationFailed: the credentials name the customer already.
    """
    if customer_id is None:
        return caller
    if not caller.may_act_for_any_customer:
        wrong = FieldError(
            ("body", "customer_id"), "The credentials name the customer", "customer_not_yours_to_name"
        )
        raise ValidationFailed("A field of the body is wrong.", fields=(wrong,))
    return Caller(
        kind=caller.kind, tenant=caller.tenant, customer_id=customer_id, role=caller.role, name=caller.name
    )


def check_may_read(caller: Caller, customer_id: str) -> None:
    """Raises NotFound, not PermissionDenied: what belongs to somebody else does not exist for this caller."""
    if not caller.may_act_for_any_customer and caller.customer_id != customer_id:
        raise NotFound


async def readable_conversation(turns: Turns, caller: Caller, conversation_id: str) -> ConversationRecord:
    """
    Raises:
        NotFound: there is none for this caller.
    """
    record = None
    if could_be_ours(conversation_id):
        record = await turns.conversation(caller.tenant, conversation_id)
    if record is None:
        raise NotFound
    check_may_read(caller, record.customer_id)
    return record


def _as_caller(visitor: Visitor) -> Caller:
    return Caller(kind=CallerKind.VISITOR, tenant=visitor.tenant, customer_id=visitor.customer_id)
