"""Storage classes: what is put into the archive is restored by the clock, and can't be pulled until it is active."""

import sqlite3
from collections.abc import Iterable

from sandbox.aws.ecr.registry import Json, Registry
from sandbox.clock import CLOCK

RESTORE_SECONDS = 2.0
"""AWS says up to twenty minutes."""


def details(registry: Registry, image: sqlite3.Row) -> Json:
    """What DescribeImages says of it."""
    row = registry.state.one(
        "SELECT *, image_status(archived_at, active_from) AS status FROM image_storage"
        " WHERE repository = ? AND digest = ?",
        image["repository"],
        image["digest"],
    )
    if row is None:
        return {"imageStatus": "ACTIVE"}
    state = {"imageStatus": row["status"], "lastArchivedAt": row["archived_at"]}
    return state | ({"lastActivatedAt": row["active_from"]} if row["status"] == "ACTIVE" else {})


def is_active(registry: Registry, image: sqlite3.Row) -> bool:
    return bool(details(registry, image)["imageStatus"] == "ACTIVE")


def archive(registry: Registry, images: Iterable[sqlite3.Row]) -> None:
    for image in images:
        registry.state.sql.execute(
            "INSERT OR REPLACE INTO image_storage VALUES (?, ?, ?, NULL)",
            (image["repository"], image["digest"], CLOCK.time()),
        )


def restore(registry: Registry, images: Iterable[sqlite3.Row], *, after: float = 0.0) -> None:
    """Let images be active after so many seconds; what is on its way, or active, keeps its time if that is sooner."""
    due = CLOCK.time() + after
    for image in images:
        registry.state.sql.execute(
            "UPDATE image_storage SET active_from = ? WHERE repository = ? AND digest = ?"
            " AND (active_from IS NULL OR active_from > ?)",
            (due, image["repository"], image["digest"], due),
        )
