"""Marks that tests share."""

import pytest

only_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""Run on one engine: the test's subject is above the database."""
