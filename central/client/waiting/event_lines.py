"""Server-sent events, line by line."""

from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from pilotage.proto.api.jobs import Event

_DECODE = msgspec.json.Decoder(Event).decode


async def events_in(lines: AsyncIterator[str]) -> AsyncGenerator[Event | None, None]:
    """Yield the events, and None for each comment, which is a keep-alive of the central.

    It skips unknown events of a newer central, because events are only hints.
    """
    data: list[str] = []
    async for line in lines:
        if line.startswith(":"):
            yield None
        elif line.startswith("data:"):
            data.append(line[5:].strip())
        elif not line and data:
            content, data = "\n".join(data), []
            try:
                event = _DECODE(content)
            except msgspec.ValidationError:
                continue
            yield event
