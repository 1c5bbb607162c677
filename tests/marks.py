"""Marks that tests share."""

import pytest

only_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""Run on one engine: the test's subject is above the database."""

only_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
"""For a test of several replicas: SQLite is one process's."""
