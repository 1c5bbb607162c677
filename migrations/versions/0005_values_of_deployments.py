"""Whether a deployment still has the values of its environment."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("keeps_values", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("deployments", "keeps_values")
