"""
Where the team answers a ticket: the address that is on file and works, else one that the customer gives.
"""

from core.errors import CarelineError, FieldError, NotFound, ValidationFailed
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from tools.addresses import is_email_address
from tools.ports import CustomerDirectory
from tools.protocol import ToolCall
from tools.sending import SendingRules
from tools.wording.base import Case

_log = get_logger(__name__)


class TicketContact:
    """`rules` know which addresses do not work; without them all do."""

    def __init__(
        self, directory: CustomerDirectory, directory_guard: Guard, rules: SendingRules | None
    ) -> None:
        self._directory = directory
        self._directory_guard = directory_guard
        self._rules = rules

    async def for_ticket(self, call: ToolCall, *, given: str | None, is_needed: bool) -> str | None:
        """
        What credentials or the directory say goes first: a model may not divert the answer. It does where messages to that come
        back. None only where it is not needed, and nobody knows one.

        Raises:
            ValidationFailed: `contact_missing`, `contact_undeliverable`, `invalid_address`; the customer is asked.
        """
        is_undeliverable = False
        for address_on_file in (_in_token, self._in_directory):
            known = await address_on_file(call)
            if known is not None and not await self._is_undeliverable(known, call):
                return known
            is_undeliverable = is_undeliverable or known is not None
        if given is None:
            if not is_needed:
                return None
            if is_undeliverable:
                raise _comes_back()
            raise _wrong(
                "nobody knows where to answer this ticket",
                "is needed: ask the customer for it",
                "missing",
                reason=Case.CONTACT_MISSING,
            )
        address = given.strip()
        if not is_email_address(address):
            raise _wrong(
                "the contact is no e-mail address",
                "must be one e-mail address",
                "value_error",
                reason=Case.INVALID_ADDRESS,
            )
        if await self._is_undeliverable(address, call):
            raise _comes_back()
        return address

    async def _in_directory(self, call: ToolCall) -> str | None:
        """None also where it cannot be asked: a ticket does not wait for it."""
        customer_id = call.caller.customer_id
        if customer_id is None or not call.caller.has_account:
            return None
        try:
            customer = await self._directory_guard.run(
                lambda: self._directory.customer(call.tenant, customer_id), deadline=call.deadline
            )
        except NotFound:
            return None
        except CarelineError as exc:
            _log.warning("ticket.address_not_looked_up", error_type=exc.error_type.value, reason=exc.reason)
            return None
        if customer.customer_id != customer_id or customer.email is None:
            return None
        return customer.email if is_email_address(customer.email) else None

    async def _is_undeliverable(self, address: str, call: ToolCall) -> bool:
        rules = self._rules
        return rules is not None and bool(await rules.undeliverable(call.tenant, {"email": address}))


async def _in_token(call: ToolCall) -> str | None:
    email = call.caller.email
    return email if email is not None and is_email_address(email) else None


def _comes_back() -> ValidationFailed:
    return _wrong(
        "messages to the address come back",
        "messages to it come back: ask the customer for another",
        "value_error",
        reason=Case.CONTACT_UNDELIVERABLE,
    )


def _wrong(message: str, why: str, kind: str, *, reason: Case) -> ValidationFailed:
    return ValidationFailed(
        message, fields=(FieldError(("arguments", "contact"), why, kind),), reason=reason.value
    )
