"""
`POST /v1/visitors`: a name for somebody without an account, and its renewal.
"""

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from agent.api.accepting import JSON, chosen_form
from agent.api.document import answers
from agent.api.limits import RateLimits
from agent.api.security import Callers, credential_of
from agent.api.tokens import VISITOR_PREFIX
from agent.api.wire import VisitorToken


def visitor_routes(callers: Callers, limits: RateLimits) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/v1/visitors",
        status_code=201,
        summary="Get a visitor's token, or renew one",
        description=(
            "Without credentials: a new visitor. With a visitor's token that is valid, or ended less than "
            "24 hours ago: a new token for the same visitor."
        ),
        responses=answers({201: "VisitorToken"}, errors=(401, 403, 406, 429, 500)),
    )
    async def visitor(request: Request) -> Response:
        tokens = callers.visitors
        chosen_form(request, (JSON,))
        credential = credential_of(request)
        known = None
        if credential is not None and credential.startswith(VISITOR_PREFIX):
            known = tokens.read(credential, is_renewal=True)
        if known is None:
            await limits.check_new_visitor(request.client.host if request.client is not None else "unknown")
        token, named, ends = tokens.issue(known)
        answer = VisitorToken(token=token, customer_id=named.customer_id, expires_at=ends)
        return Response(
            msgspec.json.encode(answer),
            status_code=201,
            media_type=JSON,
            headers={"Cache-Control": "no-store"},
        )

    return router
