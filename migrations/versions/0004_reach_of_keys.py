"""Which keys were made when naming one side of a binding still left the other at `*`.

Their rows name all four bounds, so they go on doing what they could; what was not meant is listed with a warning. The
default is for the replicas of the version before, which may still make keys during an upgrade.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("is_written_out", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("keys", "is_written_out")
