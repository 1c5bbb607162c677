"""Runs the migrations on the connection it is given: `service/base/migrate.py` opens it."""

from alembic import context
from sqlmodel import SQLModel

from service.base import tables as tables  # noqa: PLC0414 - registers the tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
