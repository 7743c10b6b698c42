"""
Whether anybody hears of a customer who waits for a person.
"""

from agent.doctor.findings import Finding, ok, warn
from core.settings import Settings


async def check_handoff(settings: Settings) -> Finding:
    """Whether the mail server and the webhook work is said by their own checks."""
    ways = [
        *(["an e-mail to " + settings.team_mailbox] if settings.team_mailbox is not None else []),
        *(["the webhook"] if settings.webhook_url is not None else []),
    ]
    if not ways:
        return warn(
            "handoff",
            "nobody is told when a customer is handed to a person",
            "Set CARELINE_HANDOFF_EMAIL (with CARELINE_SMTP_URL or CARELINE_SENDGRID_KEY) or CARELINE_WEBHOOK_URL; until then "
            "look at `careline handoff list`.",
        )
    return ok("handoff", f"the team is told by {' and '.join(ways)}")
