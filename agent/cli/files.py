"""
Files that a command writes where it was told to.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from agent.cli.common import fail
from core import whole_files


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """As `core.whole_files` has it; a file that cannot be made ends the command."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(whole_files.written_whole(path))
        except OSError as exc:
            fail(f"{path}: cannot be written: {exc}", next_step="Choose another file with --out.")
        yield file
