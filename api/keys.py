"""`/v1/keys`: who may call. A secret is answered to POST only, once."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path

from api.http.answers import PLAIN, PLAIN_TEXT, TAGGED, Http
from api.http.deps import Cursor, Limit
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import ConflictError, NotFoundError, PreconditionError, TooLargeError
from service.models.keys import Key, KeyCreate, KeyPage, KeyRotate, NewKey, RotatedKey

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=KeyedRoute)
KeyId = Annotated[UUID, Path(description="The key's id, which rotation does not change")]

_SHOWN_ONCE = (
    "`Accept: text/plain` answers the bare key. A repeat with the same Idempotency-Key is 409: shown once only."
)
_BARE_KEY: dict[int | str, dict[str, Any]] = {201: PLAIN_TEXT[200]}
_AN_HOUR = KeyRotate()


@router.post(
    "",
    status_code=201,
    operation_id="create_key",
    summary="Create an API key",
    description=_SHOWN_ONCE,
    responses=_BARE_KEY | declare(ConflictError, TooLargeError),
    response_model=NewKey,
)
async def create_key(body: KeyCreate, http: Http) -> object:
    http.never_stored()
    done = await http.services.keys.create(await http.call(), body)
    http.note(done)
    http.set_location(f"/v1/keys/{done.value.id}")
    return http.line(done.value.secret, 201) if http.wants(PLAIN) else done.value


@router.get(
    "",
    operation_id="list_keys",
    summary="List API keys, revoked and expired ones too, the newest first",
    description="Never with a secret.",
)
async def list_keys(http: Http, cursor: Cursor = None, limit: Limit = 100) -> KeyPage:
    return http.page(await http.services.keys.list(http.caller, cursor=cursor, limit=limit))


@router.get(
    "/{key_id}",
    operation_id="get_key",
    summary="Get an API key",
    description="Never with its secret.",
    responses=TAGGED | declare(NotFoundError),
)
async def get_key(key_id: KeyId, http: Http) -> Key:
    return http.tagged(await http.services.keys.get(http.caller, str(key_id)))


@router.post(
    "/{key_id}/rotations",
    status_code=201,
    operation_id="rotate_key",
    summary="Give an API key a new secret; the old one works on for an overlap",
    description=_SHOWN_ONCE,
    responses=_BARE_KEY | declare(NotFoundError, ConflictError, PreconditionError, TooLargeError),
    response_model=RotatedKey,
)
async def rotate_key(key_id: KeyId, http: Http, body: KeyRotate = _AN_HOUR) -> object:
    http.never_stored()
    done = await http.services.keys.rotate(await http.call(), str(key_id), body)
    http.note(done)
    http.set_location(f"/v1/keys/{done.value.id}")
    return http.line(done.value.secret, 201) if http.wants(PLAIN) else done.value


@router.delete(
    "/{key_id}",
    status_code=204,
    operation_id="revoke_key",
    summary="Revoke an API key, at once and for good",
    description="Waits and streams of its holder end with it. The last admin key stays.",
    responses=declare(NotFoundError, ConflictError, PreconditionError),
)
async def revoke_key(key_id: KeyId, http: Http) -> None:
    http.note(await http.services.keys.revoke(await http.call(), str(key_id)))
