"""Long work of any kind: jobs, the items they fan out to, their logs, their schedules; and steps that name an item.

A step is one row by (parent, action, item) from now on. A replica of the version before inserts its steps with
`ON CONFLICT (parent_id, action)`, for which both engines want a unique index over just these two columns, without a
condition: a partial one, or one over more columns, is none to them, and its rollouts would fail. So where anything was
recorded before, the index of before stays beside the new one, and the release after this one drops it. Until then a
step has one item there; no kind of this version has more. An empty database has no replica of before, and loses it now.

Rollouts are jobs from now on, and get their rows from the replicas of this version, not from here: while a replica of
the version before is at work on a deployment, nobody else may be. It runs one as long as `deployments.lease_until` is
ahead; past that, the first of this version that looks inserts the job, and takes the lease for jobs as such. What is
accepted from now on carries such a lease from its start, so that the version before leaves it alone; it is kept up as
long as any replica of this version lives. See `service/deployments/handover.py`. A downgrade lets go of all of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
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
_IS_CHILD = sa.text("parent_id IS NOT NULL")
_IS_LIVE = sa.text("finished_at IS NULL")


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def upgrade() -> None:
    _name_items()
    _create_jobs()
    op.create_table(
        "schedules",
        _text("name", 64),
        _text("kind", 32),
        _number("every"),
        _time("next_at"),
        _json("payload"),
        sa.PrimaryKeyConstraint("name"),
    )


def _name_items() -> None:
    op.add_column("operations", sa.Column("item", sa.String(512), nullable=False, server_default=""))
    op.create_index(
        "ix_operations_step",
        "operations",
        ["parent_id", "action", "item"],
        unique=True,
        sqlite_where=_IS_CHILD,
        postgresql_where=_IS_CHILD,
    )
    if op.get_bind().execute(sa.text("SELECT 1 FROM operations LIMIT 1")).first() is None:
        op.drop_index("ix_operations_child", "operations")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER operations_keep_their_intent")
        op.execute("DROP TRIGGER steps_are_not_replaced")
        _protect_on_sqlite((*_INTENT, "item"), "parent_id = NEW.parent_id AND action = NEW.action AND item = NEW.item")
    else:
        _protect_on_postgresql((*_INTENT, "item"))


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        _text("id", 36),
        _text("kind", 32),
        _text("key", 512),
        _json("payload"),
        _text("state", 16),
        _time("run_at"),
        _number("attempts"),
        _number("max_attempts", nullable=True),
        _text("lease_owner", 36, nullable=True),
        _time("lease_until", nullable=True),
        _number("epoch"),
        _json("progress", nullable=True),
        _json("error", nullable=True),
        _text("actor", 64),
        _text("actor_label", 128),
        _text("request_id", 128),
        _text("target", 1024),
        _time("created_at"),
        _time("started_at", nullable=True),
        _time("cancel_requested_at", nullable=True),
        _time("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["id"], ["operations.id"]),
    )
    for name, columns in {"live": ["kind", "key"], "due": ["run_at"]}.items():
        op.create_index(
            f"ix_jobs_{name}",
            "jobs",
            columns,
            unique=name == "live",
            sqlite_where=_IS_LIVE,
            postgresql_where=_IS_LIVE,
        )
    op.create_index("ix_jobs_actor", "jobs", ["actor", "id"])
    op.create_table(
        "job_items",
        _text("job_id", 36),
        _number("number"),
        _text("key", 512),
        _text("state", 16),
        _json("result", nullable=True),
        sa.PrimaryKeyConstraint("job_id", "number"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
    )
    op.create_index("ix_job_items_key", "job_items", ["job_id", "key"], unique=True)
    op.create_table(
        "job_events",
        _text("job_id", 36),
        _number("number"),
        _time("at"),
        _text("type", 32),
        _json("data"),
        sa.PrimaryKeyConstraint("job_id", "number"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
    )


def _protect_on_sqlite(intent: tuple[str, ...], same_step: str) -> None:
    changed = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in ("rowid", *intent, "request", "subjects"))
    op.execute(f"""
        CREATE TRIGGER operations_keep_their_intent BEFORE UPDATE ON operations WHEN {changed}
        BEGIN SELECT RAISE(ABORT, 'who asked for what is immutable'); END
    """)
    # A step is one row, however often it is opened: the second time does nothing, and must not be an error.
    op.execute(f"""
        CREATE TRIGGER steps_are_not_replaced BEFORE INSERT ON operations
        WHEN EXISTS (SELECT 1 FROM operations WHERE {same_step})
        BEGIN SELECT RAISE(IGNORE); END
    """)  # noqa: S608 - our own words


def _protect_on_postgresql(intent: tuple[str, ...]) -> None:
    said = (*intent, "request::text", "subjects::text")
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
    op.execute("UPDATE deployments SET lease_owner = NULL, lease_until = NULL WHERE finished_at IS NULL")
    for table in ("schedules", "job_events", "job_items", "jobs"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER operations_keep_their_intent")
        op.execute("DROP TRIGGER steps_are_not_replaced")
        _protect_on_sqlite(_INTENT, "parent_id = NEW.parent_id AND action = NEW.action")
    else:
        _protect_on_postgresql(_INTENT)
    op.execute("CREATE UNIQUE INDEX IF NOT EXISTS ix_operations_child ON operations (parent_id, action)")
    op.drop_index("ix_operations_step", "operations")
    op.drop_column("operations", "item")
