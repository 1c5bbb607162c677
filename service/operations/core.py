"""What every area stands on."""

from dataclasses import dataclass

from service.base.db import Database
from service.base.settings import Settings
from service.operations.ledger import Ledger
from service.operations.operations import Operations


@dataclass(frozen=True, slots=True)
class Core:
    """The database, the trail on it, and what writes the trail. Close the database when the process ends."""

    database: Database
    ledger: Ledger
    operations: Operations

    @classmethod
    def open(cls, settings: Settings) -> "Core":
        """Sends nothing: connections are made on first use."""
        database = Database(settings)
        ledger = Ledger(database=database, remember=settings.deadlines.idempotency)
        return cls(database, ledger, Operations(ledger=ledger))
