"""`/v1/tokens`: docker credentials, answered to POST only and never stored by anyone on the way."""

import base64
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.http.answers import PLAIN, PLAIN_TEXT, Http
from api.http.deps import RegistryName
from api.http.problems import declare
from api.http.routing import DirectRoute
from service.base.errors import ConflictError, NotFoundError, OutcomeUnknownError, TooLargeError
from service.models.tokens import DockerConfig, DockerLogin, Token, TokenRequest

DOCKER_CONFIG = "application/vnd.docker.config+json"


_FILE = {DOCKER_CONFIG: {"schema": {"$ref": "#/components/schemas/DockerConfig"}}}
_VENDED: dict[int | str, dict[str, Any]] = {200: {"content": PLAIN_TEXT[200]["content"] | _FILE}}

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=DirectRoute)


@router.post(
    "",
    operation_id="vend_token",
    summary="Vend a docker credential for named repositories",
    description=(
        "`Accept: text/plain` answers the bare password, for `docker login -u AWS --password-stdin`; "
        f"`Accept: {DOCKER_CONFIG}` a whole `config.json`. A repeat is a new operation: secrets are never replayed."
    ),
    responses=_VENDED | declare(NotFoundError, ConflictError, TooLargeError, OutcomeUnknownError),
    response_model=Token,
)
async def vend_token(body: TokenRequest, http: Http, registry: RegistryName = None) -> Response:
    http.never_stored()
    done = await http.services.tokens.vend(await http.call(), registry, body)
    http.note(done)
    token = done.value
    wanted = http.preferred(PLAIN, DOCKER_CONFIG)
    if wanted == DOCKER_CONFIG:
        return _docker_config(token)
    # Not the model itself: the framework would check it once more, on the way that is walked most.
    return http.line(token.password) if wanted == PLAIN else http.unchecked(token)


def _docker_config(token: Token) -> Response:
    login = base64.b64encode(f"{token.username}:{token.password}".encode()).decode()
    config = DockerConfig(auths={token.host: DockerLogin(auth=login)})
    return JSONResponse(config.model_dump(), media_type=DOCKER_CONFIG)
