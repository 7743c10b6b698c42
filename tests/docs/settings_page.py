"""Makes docs/settings.md from the settings themselves: `python -m tests.docs.settings_page > docs/settings.md`."""

import sys

from pydantic_core import PydanticUndefined

from core.settings import Settings

_HEAD = """# Settings

From the environment, else from `careline.toml` in the working directory (names without the prefix, in lower case), else the
default. A wrong value stops the start and names the variable; a `CARELINE_` variable that no setting knows is named on standard
error and ignored. This page is made from `core/settings.py` by `python -m tests.docs.settings_page`.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, PydanticUndefined, ()) else f"`{field.default}`"
        rows.append(f"| `CARELINE_{name.upper()}` | {default} | {field.description} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
