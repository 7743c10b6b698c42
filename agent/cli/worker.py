"""
Run the loops of the service without its HTTP interface: what was promised, interrupted turns, the journal, retention.
"""

import asyncio
import signal
import threading

from agent.cli.common import end_process, explained, out, run_loop, settings_or_exit
from core.settings import Settings
from core.telemetry.logging import get_logger

_CLOSING_SECONDS = 0.8

_log = get_logger(__name__)


def worker() -> None:
    """
    Carry out what the service has promised, until SIGTERM or Ctrl-C.

    Any number may run, on any machine that reaches the databases; nothing is done twice. Set CARELINE_BACKGROUND_WORK=workers
    where `careline serve` runs, so that it leaves this to them.
    """
    settings = settings_or_exit()
    with explained():
        run_loop(_run(settings), ends_process=True)


def _end_at_the_latest_in(seconds: float) -> None:
    """
    Whatever a driver makes of being closed. What was begun and has not ended by then is left as a crash would leave it: others
    take it up when its lease has run out.
    """

    def cut_short() -> None:
        _log.warning("worker.cut_short", after_seconds=seconds)
        end_process()

    timer = threading.Timer(seconds, cut_short)
    timer.daemon = True
    timer.start()


async def _run(settings: Settings) -> None:
    from agent.bootstrap import open_careline

    opening, asked_to_stop = asyncio.current_task(), asyncio.Event()
    is_open = asyncio.Event()

    def stop() -> None:
        if asked_to_stop.is_set():
            return
        asked_to_stop.set()
        _end_at_the_latest_in(settings.drain_seconds + _CLOSING_SECONDS)
        if opening is not None and not is_open.is_set():
            opening.cancel()  # nothing was begun that would have to end

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        async with open_careline(settings, may_wait=True, is_worker=True) as careline:
            is_open.set()
            out.print("Careline works on what was promised.")
            await asked_to_stop.wait()
            await careline.drain(settings.drain_seconds)
    except asyncio.CancelledError:
        if opening is None or is_open.is_set() or not asked_to_stop.is_set():
            raise
        opening.uncancel()
