"""
Bring the databases to this version's tables.

`serve` does this by itself at start; where several replicas start at once, run it once before them.
"""

import asyncio

from agent.cli.common import explained, out, settings_or_exit


def migrate() -> None:
    """Create or upgrade the tables in every database that the settings name."""
    settings = settings_or_exit()
    from agent.bootstrap import migrate_all

    with explained():
        asyncio.run(migrate_all(settings))
    out.print("The databases have this version's tables.")
