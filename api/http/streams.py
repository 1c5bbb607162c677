"""Server-sent events: how a stream of them is described, resumed and written."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol

from fastapi import Header

LastEventId = Annotated[int, Header(ge=0, le=2**31 - 1, description="The last event that was seen")]


class Event(Protocol):
    """What happened: its number is the id by which a stream is resumed."""

    @property
    def number(self) -> int: ...
    @property
    def type(self) -> str: ...
    def model_dump_json(self) -> str: ...


def stream_of(model: str) -> dict[int | str, dict[str, Any]]:
    """The description of a stream whose events are of the schema `model`."""
    stream = {
        "type": "string",
        "description": f"Server-sent events: the `data` of each is a {model}",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{model}"},
    }
    return {200: {"content": {"text/event-stream": {"schema": stream}}}}


async def lines_of(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    async for event in events:
        yield f"id: {event.number}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
