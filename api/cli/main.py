"""The command line: `wharfinger serve`, `demo`, `migrate`, `keys`, `openapi`."""

import asyncio
import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.cli import keys
from service.base.settings import JobSettings, JobsWork, Settings, StartupError, load
from service.base.version import VERSION

_GARBAGE = 10_000
"""Objects made, and not freed, until the collector looks at the young ones."""

app = typer.Typer(
    name="wharfinger",
    help="The control plane a platform team puts in front of Amazon ECR and EKS.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(keys.app)


def _tell_version(*, is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"wharfinger {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is")
    ] = False,
) -> None:
    """Take what comes before a command."""


@app.command()
def serve(
    *,
    jobs: Annotated[
        JobsWork | None,
        typer.Option(help="Work on jobs beside serving, or serve alone, or work alone; else as the settings say"),
    ] = None,
) -> None:
    """Serve the HTTP API, by the settings file and WHARFINGER__* variables; migrates the database first."""
    # What is loaded stays, and most objects of a request go by themselves: looking for cycles less often takes a sixth
    # off the start, and off a vend.
    gc.set_threshold(_GARBAGE, 50, 100)
    from api.server import serve as run  # noqa: PLC0415 - the other commands need no web framework
    from service.credentials.bootstrap import read_key  # noqa: PLC0415 - as above

    settings = load()
    if jobs is not None:
        settings = settings.model_copy(update={"jobs": JobSettings(work=jobs)})
    read_key(settings.bootstrap_key_file)  # found wrong by the server as it starts, it would be a stack trace
    asyncio.run(_migrate(settings))
    run(settings)


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the story instead of serving on")] = False,
    data: Annotated[Path | None, typer.Option(help="Keep the state in this folder, or go on from there")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the service listens, on 127.0.0.1")] = 8080,
) -> None:
    """Walk the whole story on this machine against a stand-in for AWS, then keep serving it."""
    try:
        from sandbox.story.demo import run  # noqa: PLC0415 - the sandbox is not in the wheel
        from sandbox.story.narrator import StoryError  # noqa: PLC0415 - as above
    except ImportError as error:
        raise StartupError(f"the demo needs a checkout with its sandbox (make demo): {error}") from error
    try:
        run(once=once, data=data, port=port)
    except StoryError as error:
        raise StartupError(f"the demo failed: {error}") from error


@app.command()
def migrate() -> None:
    """Bring the database to the tables of this version."""
    asyncio.run(_migrate(load()))
    typer.echo("The database is up to date.")


@app.command()
def openapi() -> None:
    """Print the OpenAPI description of the HTTP API as YAML."""
    from api.app import create  # noqa: PLC0415 - as above
    from api.http.openapi import to_yaml  # noqa: PLC0415 - as above

    typer.echo(to_yaml(create(Settings.model_construct()).openapi()), nl=False)


async def _migrate(settings: Settings) -> None:
    from service.base.db import Database  # noqa: PLC0415 - as above
    from service.base.migrate import migrate as run  # noqa: PLC0415 - as above

    database = Database(settings)
    try:
        await run(database)
    finally:
        await database.close()


def main() -> None:
    """The entry point: an error that the person can mend is one line, not a stack trace."""
    from service.base.errors import DatabaseError, WharfingerError  # noqa: PLC0415 - as above

    try:
        app()
    except DatabaseError as error:
        typer.echo(f"wharfinger: {error} Look at database.url; the driver says: {error.reason}", err=True)
        sys.exit(2)
    except (StartupError, WharfingerError) as error:
        typer.echo(f"wharfinger: {error}", err=True)
        sys.exit(2)
