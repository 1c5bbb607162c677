"""What was there before an operation, and triggers that let nobody forge one: not who asked for what, not by replacing.

SQLite's `INSERT OR REPLACE` deletes the row in its way without a word to the triggers on deletion.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INTENT = (
    "id",
    "parent_id",
    "actor",
    "actor_label",
    "action",
    "registry_name",
    "target",
    "request_id",
    "started_at",
    "client_address",
    "replay_of",
)
_DOCUMENTS = ("request", "subjects")
"""What an open row says from the start, and for good. PostgreSQL can compare documents as text alone."""


def upgrade() -> None:
    op.add_column("operations", sa.Column("before", sa.JSON(), nullable=True))
    op.add_column("operations", sa.Column("seen", sa.JSON(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        _protect_on_sqlite()
    else:
        _protect_on_postgresql()


def _protect_on_sqlite() -> None:
    changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in ("rowid", *_INTENT, *_DOCUMENTS))
    op.execute(f"""
        CREATE TRIGGER operations_keep_their_intent BEFORE UPDATE ON operations WHEN {changed}
        BEGIN SELECT RAISE(ABORT, 'who asked for what is immutable'); END
    """)
    op.execute("""
        CREATE TRIGGER operations_keep_what_was_before BEFORE UPDATE ON operations
        WHEN json_type(OLD.before, '$.was') IS NOT NULL AND OLD.before IS NOT NEW.before
        BEGIN SELECT RAISE(ABORT, 'what was there before is immutable'); END
    """)
    # Where a row is not named, NEW.rowid is -1.
    op.execute("""
        CREATE TRIGGER operations_are_not_replaced BEFORE INSERT ON operations
        WHEN EXISTS (SELECT 1 FROM operations WHERE id = NEW.id OR rowid = NEW.rowid)
        BEGIN SELECT RAISE(ABORT, 'a completed operation is immutable, and none is ever replaced'); END
    """)
    # A step is one row, however often it is opened: the second time does nothing, and must not be an error.
    op.execute("""
        CREATE TRIGGER steps_are_not_replaced BEFORE INSERT ON operations
        WHEN EXISTS (SELECT 1 FROM operations WHERE parent_id = NEW.parent_id AND action = NEW.action)
        BEGIN SELECT RAISE(IGNORE); END
    """)


def _protect_on_postgresql() -> None:
    said = (*_INTENT, *(f"{name}::text" for name in _DOCUMENTS))
    old, new = (", ".join(f"{row}.{name}" for name in said) for row in ("OLD", "NEW"))
    op.execute(f"""
        CREATE OR REPLACE FUNCTION operations_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'UPDATE' OR OLD.completed_at IS NOT NULL THEN
                RAISE EXCEPTION 'a completed operation is immutable, and none is ever deleted';
            END IF;
            IF ({new}) IS DISTINCT FROM ({old}) THEN
                RAISE EXCEPTION 'who asked for what is immutable';
            END IF;
            IF OLD.before->'was' IS NOT NULL AND NEW.before::text IS DISTINCT FROM OLD.before::text THEN
                RAISE EXCEPTION 'what was there before is immutable';
            END IF;
            RETURN NEW;
        END $$
    """)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in (
            "operations_keep_their_intent",
            "operations_keep_what_was_before",
            "operations_are_not_replaced",
            "steps_are_not_replaced",
        ):
            op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute("""
            CREATE OR REPLACE FUNCTION operations_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'UPDATE' AND OLD.completed_at IS NULL THEN RETURN NEW; END IF;
                RAISE EXCEPTION 'a completed operation is immutable, and none is ever deleted';
            END $$
        """)
    op.drop_column("operations", "seen")
    op.drop_column("operations", "before")
