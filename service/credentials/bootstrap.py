"""The first admin key of a deployment that nobody has a shell in: from a file, usually a mounted secret."""

from pathlib import Path

from service.access.actions import Role
from service.access.authz import Binding
from service.access.identity import is_well_formed, operator
from service.base.clock import new_id
from service.base.deadlines import Deadline
from service.base.settings import Settings, StartupError
from service.credentials.keys import Keys
from service.models.keys import KeyCreate
from service.operations.calls import Call


async def adopt_key(settings: Settings, keys: Keys) -> None:
    """Make the key of `bootstrap_key_file` an admin, unless it is or was a key: one revoked since stays revoked.

    :raises StartupError: the file can't be read, or has no key.
    """
    secret = read_key(settings.bootstrap_key_file)
    if secret is None:
        return
    call = Call(operator("bootstrap"), new_id(), Deadline.after(settings.deadlines.request))
    await keys.adopt(call, KeyCreate(label="bootstrap", bindings=[Binding(role=Role.ADMIN)]), secret)


def read_key(file: Path | None) -> str | None:
    """The key in the file, if one is set.

    :raises StartupError: it can't be read, or has no key.
    """
    if file is None:
        return None
    try:
        secret = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"bootstrap_key_file: {file} can't be read: {type(error).__name__}") from None
    if not is_well_formed(secret):
        raise StartupError(f"bootstrap_key_file: {file} has no key of the form whf_ and 43 characters of A-Za-z0-9_-")
    return secret
