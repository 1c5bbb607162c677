"""The trail in order of completion, found by every subject of an operation, with the client's address.

Fills `operation_subjects` for the rows that are there: some seconds for each 100,000, while which changes wait.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BATCH = 10_000

operations = sa.table(
    "operations",
    sa.column("id", sa.String),
    sa.column("action", sa.String),
    sa.column("registry_name", sa.String),
    sa.column("target", sa.String),
    sa.column("request", sa.JSON),
    # Copied as it is stored: on SQLite a time is text.
    sa.column("completed_at"),
)


def upgrade() -> None:
    op.add_column("operations", sa.Column("client_address", sa.String(64), nullable=True))
    op.add_column("operations", sa.Column("subjects", sa.JSON(), nullable=True))
    subjects = op.create_table(
        "operation_subjects",
        sa.Column("subject", sa.String(1024), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("subject", "completed_at", "operation_id"),
        sqlite_with_rowid=False,
    )
    _fill(sa.table("operation_subjects", *(sa.column(name.name) for name in subjects.c)))
    _index()
    if op.get_bind().dialect.name == "sqlite":
        _follow_on_sqlite()
    else:
        _follow_on_postgresql()


def _fill(subjects: sa.TableClause) -> None:
    connection, last = op.get_bind(), ""
    while True:
        page = sa.select(operations).where(operations.c.id > last).order_by(operations.c.id).limit(_BATCH)
        rows = connection.execute(page).mappings().all()
        if not rows:
            return
        last = rows[-1]["id"]
        found = [
            {"subject": subject, "completed_at": row["completed_at"], "operation_id": row["id"]}
            for row in rows
            if row["completed_at"] is not None
            for subject in dict.fromkeys(_subjects(row))
        ]
        if found:
            connection.execute(sa.insert(subjects), found)


def _subjects(row: sa.RowMapping) -> Iterator[str]:
    """Each target of a row, and each prefix of it in whole segments, with a slash at its end."""
    yield row["target"]
    several = row["request"].get("repositories") if row["action"].startswith("token.") else None
    for target in [f"{row['registry_name']}/{name}" for name in several] if several else [row["target"]]:
        yield target
        parts = target.split("/")
        yield from ("/".join(parts[: count + 1]) + "/" for count in range(len(parts)))


def _index() -> None:
    for name in ("open", "actor", "target"):
        op.drop_index(f"ix_operations_{name}", "operations")
    is_open, is_odd = sa.text("completed_at IS NULL"), sa.text("status <> 'succeeded'")
    op.create_index("ix_operations_completed", "operations", ["completed_at", "id"])
    op.create_index("ix_operations_actor", "operations", ["actor", "completed_at", "id"])
    op.create_index("ix_operations_label", "operations", ["actor_label", "completed_at", "id"])
    op.create_index("ix_operations_action", "operations", ["action", "status", "completed_at", "id"])
    op.create_index("ix_operations_open", "operations", ["deadline_at"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index(
        "ix_operations_odd",
        "operations",
        ["status", "completed_at", "id"],
        sqlite_where=is_odd,
        postgresql_where=is_odd,
    )


_EVENTS = {"recorded": ("INSERT", "true"), "completed": ("UPDATE", "OLD.completed_at IS NULL")}
"""When a row becomes a complete one, by the name of the trigger."""


def _follow_on_sqlite() -> None:
    # A replica of the version before writes no subjects.
    subjects = "json_each(coalesce(NEW.subjects, json_array(NEW.target)))"
    for name, (event, condition) in _EVENTS.items():
        op.execute(f"""
            CREATE TRIGGER operations_are_found_{name} AFTER {event} ON operations
            WHEN NEW.completed_at IS NOT NULL AND {condition}
            BEGIN
                INSERT INTO operation_subjects (subject, completed_at, operation_id)
                SELECT value, NEW.completed_at, NEW.id FROM {subjects};
            END
        """)  # noqa: S608 - our own words


def _follow_on_postgresql() -> None:
    op.execute("""
        CREATE FUNCTION operations_are_found() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO operation_subjects (subject, completed_at, operation_id)
            SELECT value, NEW.completed_at, NEW.id
            FROM json_array_elements_text(coalesce(NEW.subjects, json_build_array(NEW.target)));
            RETURN NULL;
        END $$
    """)
    for name, (event, condition) in _EVENTS.items():
        op.execute(f"""
            CREATE TRIGGER operations_are_found_{name} AFTER {event} ON operations FOR EACH ROW
            WHEN (NEW.completed_at IS NOT NULL AND {condition}) EXECUTE FUNCTION operations_are_found()
        """)


def downgrade() -> None:
    for name in _EVENTS:
        on = "" if op.get_bind().dialect.name == "sqlite" else " ON operations"
        op.execute(f"DROP TRIGGER operations_are_found_{name}{on}")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION operations_are_found")
    for name in ("completed", "actor", "label", "action", "open", "odd"):
        op.drop_index(f"ix_operations_{name}", "operations")
    op.create_index("ix_operations_actor", "operations", ["actor", "id"])
    op.create_index("ix_operations_open", "operations", ["completed_at", "deadline_at"])
    op.create_index("ix_operations_target", "operations", ["target", "id"])
    op.drop_table("operation_subjects")
    op.drop_column("operations", "subjects")
    op.drop_column("operations", "client_address")
