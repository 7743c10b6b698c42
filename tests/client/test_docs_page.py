"""The examples of docs/client.md and of the client's README run as they stand, in order, against a service."""

import re
from pathlib import Path

import pytest

from tests.careline_process import CarelineProcess

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["docs/client.md", "client/README.md"])
def test_the_examples_run(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    with CarelineProcess(tmp_path) as service:
        known: dict[str, object] = {"__name__": "docs"}
        for block in blocks:
            text = block.replace("http://127.0.0.1:8000", service.url)
            text = text.replace("timeout_seconds=30", "timeout_seconds=1")
            exec(compile(text, page, "exec"), known)  # noqa: S102 - the page's own code
        careline = known.get("careline")
        if careline is not None and page == "docs/client.md":
            assert getattr(known["stream"], "answer", None) is not None
            careline.close()  # type: ignore[attr-defined]
