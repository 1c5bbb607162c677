"""A machine's clocks, in the hands of a test."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from service.base.clock import Clock


@dataclass(slots=True)
class Machine:
    """A machine whose clock is set by hand, while time passes."""

    wall: datetime = field(default_factory=lambda: datetime.now(UTC))
    uptime: float = 0.0

    def wait(self, span: timedelta) -> None:
        self.wall += span
        self.uptime += span.total_seconds()

    def boot(self) -> Clock:
        """The clock of a process that is started now."""
        return Clock(lambda: self.wall, lambda: self.uptime)
