"""Deployments, the generations of their targets, and their events."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=nullable)


def upgrade() -> None:
    op.create_index("ix_operations_child", "operations", ["parent_id", "action"], unique=True)
    op.create_table(
        "deployment_targets",
        _text("cluster", 64),
        _text("namespace", 63),
        _text("name", 63),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "namespace", "name"),
    )
    _create_deployments()
    op.create_table(
        "deployment_events",
        _text("deployment_id", 36),
        sa.Column("number", sa.Integer(), nullable=False),
        _time("at", nullable=False),
        _text("type", 32),
        _json("data"),
        sa.PrimaryKeyConstraint("deployment_id", "number"),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"]),
    )


def _create_deployments() -> None:
    op.create_table(
        "deployments",
        _text("id", 36),
        _text("kind", 16),
        _text("cluster", 64),
        _text("namespace", 63),
        _text("name", 63),
        sa.Column("generation", sa.Integer(), nullable=False),
        _json("spec"),
        _text("image", 512),
        _text("image_uri", 512),
        _text("digest", 80),
        _json("checks"),
        _text("actor", 64),
        _text("actor_label", 128),
        _text("request_id", 128),
        _text("status", 16),
        _json("progress", nullable=True),
        _json("reason", nullable=True),
        _json("urls"),
        _time("accepted_at", nullable=False),
        _time("started_at"),
        _time("progressed_at"),
        _time("cluster_away_since"),
        _time("finished_at"),
        _text("superseded_by", 36, nullable=True),
        _text("rollback_to", 36, nullable=True),
        _text("rolled_back_by", 36, nullable=True),
        _text("lease_owner", 36, nullable=True),
        _time("lease_until"),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["id"], ["operations.id"]),
    )
    op.create_index("ix_deployments_target", "deployments", ["cluster", "namespace", "name", "generation"], unique=True)
    op.create_index("ix_deployments_active", "deployments", ["finished_at", "lease_until"])


def downgrade() -> None:
    for table in ("deployment_events", "deployments", "deployment_targets"):
        op.drop_table(table)
    op.drop_index("ix_operations_child", "operations")
