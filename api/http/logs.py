"""Logs: JSON lines on standard error, one event each, with the request's id."""

import logging
import sys

import structlog

_OUTSPOKEN = (
    *("botocore", "aiobotocore", "boto3", "aioboto3", "urllib3"),
    *("httpx", "httpcore", "httpx2", "httpcore2", "lightkube"),
    *("sqlalchemy", "aiosqlite", "psycopg"),
)


def configure_logs(level: str) -> None:
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At DEBUG they log whole requests, statements with their values and rows: secrets must not depend on a log level.
    for library in _OUTSPOKEN:
        logging.getLogger(library).setLevel(logging.WARNING)
