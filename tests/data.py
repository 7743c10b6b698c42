"""
Find the public data sets that lie beside the repository; a test that needs a missing one is skipped.
"""

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(relative: str) -> Path:
    """The path of a shared file or folder, e.g. `shared("arduino_help_center/articles.jsonl")`."""
    path = _SHARED / relative
    if not path.exists():
        pytest.skip(f"../shared/data/{relative} not found")
    return path
