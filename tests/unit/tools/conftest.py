"""
Each test of the tools logs as the service does, into memory.
"""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from core.telemetry.logging import configure_logging


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """What operators see, one JSON object a line."""
    stream = io.StringIO()
    handlers = logging.getLogger().handlers
    configure_logging("debug", stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers = handlers
