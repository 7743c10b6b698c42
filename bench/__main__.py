"""
Every figure that the docs quote, one part after the other: `python -m bench`, or a single part as `python -m bench.NAME`.
"""

import subprocess
import sys

PARTS = ("retrieval", "answers", "context", "turn", "memory", "hotpath", "overload")


def main() -> None:
    for part in PARTS:
        print(f"== bench.{part}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{part}"], check=True)


if __name__ == "__main__":
    main()
