"""Requests that schemathesis makes up from an OpenAPI document, sent to the service that serves it."""

import subprocess
import sys
from pathlib import Path


def tried(document: str, *, folder: Path, phases: str, examples: int) -> "subprocess.CompletedProcess[str]":
    """`document` is its URL. It ends with 0 where every answer was one that the document announces, and none a 5xx."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", document),
            # What is valid part by part may be wrong as a whole, or name what there is not: no schema can say so.
            "--exclude-checks=positive_data_acceptance",
            f"--phases={phases}",
            "--mode=all",
            f"--max-examples={examples}",
            "--seed=1",
            "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
