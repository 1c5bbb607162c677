"""The first tables, and the trigger that makes a completed operation immutable."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def upgrade() -> None:
    _create_operations()
    _create_keys()
    if op.get_bind().dialect.name == "sqlite":
        _protect_on_sqlite()
    else:
        _protect_on_postgresql()


def _create_operations() -> None:
    op.create_table(
        "operations",
        _text("id", 36),
        _text("parent_id", 36, nullable=True),
        _text("actor", 64),
        _text("actor_label", 128),
        _text("action", 64),
        _text("registry_name", 64, nullable=True),
        _text("target", 1024),
        _text("request_id", 128),
        sa.Column("request", sa.JSON(), nullable=False),
        _text("status", 16),
        _time("started_at"),
        _time("deadline_at"),
        _time("completed_at", nullable=True),
        _text("code", 64, nullable=True),
        sa.Column("aws", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        _text("replay_of", 36, nullable=True),
        _text("settled_by", 16, nullable=True),
        _text("note", 512, nullable=True),
        _time("claimed_until", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_operations_actor", "operations", ["actor", "id"])
    op.create_index("ix_operations_open", "operations", ["completed_at", "deadline_at"])
    op.create_index("ix_operations_target", "operations", ["target", "id"])
    op.create_table(
        "idempotency_keys",
        _text("actor", 64),
        _text("key", 255),
        _text("operation_id", 36),
        _text("fingerprint", 64),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("actor", "key"),
        sa.ForeignKeyConstraint(["operation_id"], ["operations.id"]),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])
    op.create_index("ix_idempotency_keys_operation_id", "idempotency_keys", ["operation_id"])


def _create_keys() -> None:
    op.create_table(
        "keys",
        _text("id", 36),
        _text("label", 128),
        sa.Column("bindings", sa.JSON(), nullable=False),
        _time("created_at"),
        _text("created_by", 64),
        _time("expires_at", nullable=True),
        _time("revoked_at", nullable=True),
        _time("last_used_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "key_secrets",
        _text("sha256", 64),
        _text("key_id", 36),
        _time("created_at"),
        _time("expires_at", nullable=True),
        sa.PrimaryKeyConstraint("sha256"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"]),
    )
    op.create_index("ix_key_secrets_key_id", "key_secrets", ["key_id"])


def _protect_on_sqlite() -> None:
    op.execute("""
        CREATE TRIGGER operations_are_final BEFORE UPDATE ON operations WHEN OLD.completed_at IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a completed operation is immutable'); END
    """)
    op.execute("""
        CREATE TRIGGER operations_are_kept BEFORE DELETE ON operations
        BEGIN SELECT RAISE(ABORT, 'an operation is never deleted'); END
    """)


def _protect_on_postgresql() -> None:
    op.execute("""
        CREATE FUNCTION operations_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND OLD.completed_at IS NULL THEN RETURN NEW; END IF;
            RAISE EXCEPTION 'a completed operation is immutable, and none is ever deleted';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER operations_are_final BEFORE UPDATE OR DELETE ON operations
        FOR EACH ROW EXECUTE FUNCTION operations_are_final()
    """)
    op.execute("""
        CREATE TRIGGER operations_are_kept BEFORE TRUNCATE ON operations
        FOR EACH STATEMENT EXECUTE FUNCTION operations_are_final()
    """)


def downgrade() -> None:
    for table in ("key_secrets", "keys", "idempotency_keys", "operations"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION operations_are_final")
