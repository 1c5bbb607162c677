"""The service's log is off while histories are played in this process."""

from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.many import quiet


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
