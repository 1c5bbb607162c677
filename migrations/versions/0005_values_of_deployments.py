"""Whether a deployment still has the values of its environment."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("keeps_values", sa.Boolean(), nullable=True))
    op.create_index(
        "ix_deployments_values",
        "deployments",
        ["cluster", "namespace", "name", "generation"],
        sqlite_where=sa.text("keeps_values IS NOT 0"),
        postgresql_where=sa.text("keeps_values IS NOT false"),
    )


def downgrade() -> None:
    op.drop_index("ix_deployments_values", "deployments")
    op.drop_column("deployments", "keeps_values")
