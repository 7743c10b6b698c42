"""Claims about `careline mcp`: an operator sees that a tool changed, and allows its new form after looking at it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.careline_process import environment, run_careline
from tests.mcp_world import program
from tools.mcp.pins import Pins


def test_a_changed_tool_is_shown_and_can_be_allowed_in_the_form_that_was_seen(tmp_path: Path) -> None:
    tools = {"look_up": {"risk": "read"}, "hang": {"risk": "read"}, "gone": {"risk": "read"}}
    servers = {"shop": program(tmp_path / "calls.jsonl", tools=tools)}
    settings = {"mcp_servers": json.dumps(servers), "log_level": "error"}
    pins = Pins(tmp_path / "careline-data")
    pins.allow("shop", "look_up", "0" * 64)

    listed = subprocess.run(
        [sys.executable, "-m", "agent", "mcp", "list"],
        cwd=tmp_path,
        env={**environment(settings), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in listed.stdout.splitlines() if "│" in line
    ]
    states = {row[1]: row[2] for row in rows}
    digest = next(row[3] for row in rows if row[1] == "look_up")
    run_careline("mcp", "allow", "shop", "look_up", digest, folder=tmp_path, settings=settings)

    assert listed.returncode == 1, listed.stderr
    assert len(digest) == 64
    assert states["look_up"] == "changed"
    assert states["hang"] == "new"
    assert states["gone"] == "not declared"
    assert states["refund"] == "not listed"
    assert pins.known() == {"shop/look_up": digest}
