"""
Cut a stream of server-sent events into what their `data` lines say, all that arrived together at once.

Other fields are passed over, as no model server says anything in them.
"""

_LONGEST_EVENT_BYTES = 1_000_000


class EventLines:
    """An event that no empty line ends is no event; `is_too_long` once one has grown beyond all reason."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_too_long(self) -> bool:
        return len(self._rest) > _LONGEST_EVENT_BYTES

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that are complete now; several lines of one event are joined by line breaks."""
        text = self._rest + data
        if b"\r" in text:
            # The last one may be the first half of a line break.
            end = len(text) - text.endswith(b"\r")
            text = text[:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + text[end:]
        *whole, self._rest = text.split(b"\n\n")
        return [said for event in whole if (said := _data(event)) is not None]


def _data(event: bytes) -> bytes | None:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    said = [
        value.removeprefix(b" ")
        for line in event.split(b"\n")
        for name, _, value in (line.partition(b":"),)
        if name == b"data"
    ]
    return b"\n".join(said) if said else None
