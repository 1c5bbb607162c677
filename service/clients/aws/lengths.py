"""How long a text may be that AWS is sent, as its model has it: the SDK finds one too short to be a defect of ours."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Length:
    """In characters."""

    least: int
    most: int | None
    """None: the model names no end."""

    def __str__(self) -> str:
        return f"{self.least:,} or more" if self.most is None else f"{self.least:,} to {self.most:,}"

    def allows(self, text: str) -> bool:
        return self.least <= len(text) and (self.most is None or len(text) <= self.most)


def length_of(client: Any, call: str, member: str) -> Length:  # noqa: ANN401 - of any service
    """Of a text by the name of the call and of its input's member."""
    facts = client.meta.service_model.operation_model(call).input_shape.members[member].metadata
    return Length(facts.get("min", 0), facts.get("max"))
