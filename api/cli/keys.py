"""`wharfinger keys`: for who has the database at hand, above all for the first admin key.

The key itself, and nothing else, goes to standard output, so that a script can take it from there.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer
from pydantic import ValidationError

from api.http.logs import configure_logs
from api.http.wording import examples_of, reason_of
from service.access.actions import Role
from service.access.authz import Binding
from service.base.clock import new_id, utcnow
from service.base.deadlines import Deadline
from service.base.settings import Settings, load
from service.models.keys import Key, KeyCreate, KeyPage, KeyRotate, NewKey

if TYPE_CHECKING:
    from service.credentials.keys import Keys
    from service.operations.calls import Call

T = TypeVar("T")
M = TypeVar("M", Binding, KeyCreate, KeyRotate)
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_PER_PAGE = 1000

app = typer.Typer(
    name="keys", help="Make, list, rotate and revoke API keys, on the database of the settings.", no_args_is_help=True
)


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,5})([dhm])", text)
    if match is None:
        raise typer.BadParameter("write a number and d, h or m: 30d, 12h, 5m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


KeyId = Annotated[UUID, typer.Argument(metavar="ID", help="The key's id, as listed")]
AsJson = Annotated[bool, typer.Option("--json", help="All there is to know, as JSON")]


@app.command()
def create(
    *,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(Role)}")],
    label: Annotated[str, typer.Option(help="Who or what will hold it")],
    repository: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="These repositories only: whole segments of names")
    ] = None,
    registry: Annotated[str | None, typer.Option(help="In this registry only")] = None,
    cluster: Annotated[str | None, typer.Option(help="In this cluster only")] = None,
    namespace: Annotated[str | None, typer.Option(help="In this namespace only")] = None,
    expires_in: Annotated[timedelta | None, typer.Option(parser=_span, metavar="30d|12h|5m")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: it is shown this once.

    With none of --repository, --registry, --cluster and --namespace the role holds everywhere. Naming --repository or
    --registry gives nothing in clusters, and naming --cluster or --namespace nothing in registries: for both, write out
    both, with '*' for all. The half of a pair that is not named is '*'.
    """
    bounds = {"repository": repository, "registry": registry, "cluster": cluster, "namespace": namespace}
    named: dict[str, object] = {name: value for name, value in bounds.items() if value is not None}
    binding = _checked(Binding, {"role": role} | named)
    expires_at = utcnow() + expires_in if expires_in is not None else None
    asked = _checked(KeyCreate, {"label": label, "bindings": [binding], "expires_at": expires_at})
    done = _run(lambda keys, call: keys.create(call, asked))
    _show(done.value, as_json=as_json)


@app.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """List the keys, the newest first, also revoked and expired ones; never their secrets."""
    keys = _run(_all)
    if as_json:
        typer.echo(KeyPage(items=keys, next_cursor=None).model_dump_json(indent=2))
        return
    for key in keys:
        roles = ",".join(dict.fromkeys(binding.role for binding in key.bindings))
        typer.echo("\t".join((key.id, _state(key), roles, f"used {_minute(key.last_used_at)}", key.label)))
        for warning in key.warnings if key.revoked_at is None else ():
            typer.echo(f"Warning: key {key.id} ({key.label}): {warning}.", err=True)


@app.command()
def rotate(
    key_id: KeyId,
    *,
    overlap: Annotated[
        timedelta, typer.Option(parser=_span, metavar="7d|12h|5m", help="How long the one before still works")
    ] = "1h",  # type: ignore[assignment] # the parser reads defaults too
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret and print it: it is shown this once."""
    asked = _checked(KeyRotate, {"overlap_seconds": round(overlap.total_seconds())})
    done = _run(lambda keys, call: keys.rotate(call, str(key_id), asked))
    _show(done.value, as_json=as_json)


@app.command()
def revoke(key_id: KeyId) -> None:
    """Revoke a key, at once and for good."""
    _run(lambda keys, call: keys.revoke(call, str(key_id)))
    typer.echo(f"Key {key_id} is revoked.", err=True)


def _checked(model: type[M], values: dict[str, object]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        examples = examples_of(model.model_json_schema())
        mistakes = (f"{one['loc'][-1]}: {reason_of(one, examples)}" for one in error.errors())
        raise typer.BadParameter("; ".join(mistakes)) from None


def _show(key: NewKey, *, as_json: bool) -> None:
    typer.echo(f"Key {key.id} ({key.label}): this is shown once.", err=True)
    typer.echo(key.model_dump_json(indent=2) if as_json else key.secret)


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return f"revoked {_minute(key.revoked_at)}"
    if key.expires_at is None:
        return "live"
    return f"{'live until' if key.expires_at > utcnow() else 'expired'} {_minute(key.expires_at)}"


def _minute(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%dT%H:%MZ") if when else "never"


async def _all(keys: "Keys", call: "Call") -> list[Key]:
    page = await keys.list(call.caller, cursor=None, limit=_PER_PAGE)
    every = page.items
    while page.next_cursor:
        page = await keys.list(call.caller, cursor=page.next_cursor, limit=_PER_PAGE)
        every += page.items
    return every


def _run(work: "Callable[[Keys, Call], Awaitable[T]]") -> T:
    configure_logs("warning")
    return asyncio.run(_on_database(load(), work))


async def _on_database(settings: Settings, work: "Callable[[Keys, Call], Awaitable[T]]") -> T:
    from service.access.identity import operator  # noqa: PLC0415 - as above
    from service.base.migrate import migrate  # noqa: PLC0415 - help and mistakes are answered without the database's libraries
    from service.credentials.keys import Keys  # noqa: PLC0415 - as above
    from service.operations.calls import Call  # noqa: PLC0415 - as above
    from service.operations.core import Core  # noqa: PLC0415 - as above

    core = Core.open(settings)
    try:
        await migrate(core.database)
        return await work(
            Keys.of(settings, core), Call(operator("cli"), new_id(), Deadline.after(settings.deadlines.request))
        )
    finally:
        await core.database.close()
