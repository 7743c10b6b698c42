"""Makes docs/settings.md from the settings themselves: `python -m tests.docs.settings_page > docs/settings.md`."""

import sys
from collections.abc import Mapping

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from core.settings import Settings
from core.time_settings import TimeSettings

_HEAD = """# Settings

From the environment, else from `careline.toml` in the working directory (names without the prefix, in lower case), else the
default. A wrong value stops the start and names the variable, or the key in the file; so does a key in the file that no setting
knows. A `CARELINE_` variable that no setting knows is named on standard error and ignored. This page is made from
`core/settings.py` by `python -m tests.docs.settings_page`.

A `careline.toml` with a setting of each kind; what has fields of its own is a table, at the end:

```toml
{example}```
"""
EXAMPLE = """\
company_name = "Lamps & Co"
database_url = "postgresql+psycopg://careline@db.example/careline"  # with a password, rather in the environment
port = 8080
mcp_serve = false
turn_deadline_seconds = 15.0
allowed_origins = ["https://shop.example", "https://www.shop.example"]

[customers_api]
url = "https://crm.example"
path = "/customers/{customer_id}"
customer = { customer_id = "id", name = ["first_name", "last_name"], email = "email" }

[mcp_servers.shop]
url = "https://shop.example/mcp"
tools = { look_up = { risk = "read" } }
"""
_TABLE = """
| variable | default | meaning |
|---|---|---|
"""
_TIMES = """
## How long things may take

Each is a promise to the customer as much as a limit for a dependency: raise one, and whoever waits for it waits that much longer.
"""


def page() -> str:
    times = TimeSettings.model_fields
    others = {name: field for name, field in Settings.model_fields.items() if name not in times}
    return _HEAD.replace("{example}", EXAMPLE) + _table(others) + _TIMES + _table(times)


def _table(fields: Mapping[str, FieldInfo]) -> str:
    rows = []
    for name, field in fields.items():
        default = "" if field.default in (None, PydanticUndefined, (), {}) else f"`{field.default}`"
        rows.append(f"| `CARELINE_{name.upper()}` | {default} | {field.description} |\n")
    return _TABLE + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
