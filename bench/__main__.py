"""
Every figure that the docs quote, one part after the other: `python -m bench`, or a single part as `python -m bench.NAME`.
"""

import subprocess
import sys

PARTS = (
    "retrieval",
    "answers",
    "context",
    "scale",
    "documents",
    "seeking",
    "intents",
    "abstention",
    "grounding",
    "turn",
    "memory",
    "hotpath",
    "overload",
    "control_lists",
    "breaker",
)


def main() -> None:
    """Every part, whatever the ones before it came to; says at the end which missed a goal."""
    missed = []
    for part in PARTS:
        print(f"== bench.{part}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{part}"], check=False).returncode:
            missed.append(part)
    if missed:
        sys.exit(f"a goal was missed, or it broke: {', '.join(missed)}")


if __name__ == "__main__":
    main()
