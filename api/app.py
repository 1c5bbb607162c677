"""The application: routers, middleware and the life of a process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI

from api import (
    audit,
    clusters,
    deployments,
    health,
    images,
    jobs,
    keys,
    policies,
    policy_templates,
    registries,
    repositories,
    tokens,
)
from api.http import problems
from api.http.bodies import BodyLimit
from api.http.deps import CONTAINER, READINESS, Readiness
from api.http.docs import serve_docs
from api.http.head import HeadAsGet
from api.http.middleware import RequestContext
from api.http.openapi import describe
from api.http.problems import declare
from service.base.errors import (
    AwsPermissionError,
    AwsUnavailableError,
    DeadlineError,
    ForbiddenError,
    HeadersTooLargeError,
    InvalidError,
    ParameterError,
    RequestTimeoutError,
    UnauthenticatedError,
)
from service.base.settings import JobsWork, Settings
from service.base.version import VERSION
from service.container import Container

# Tried in this order: what a pipeline asks for most comes first.
ROUTERS: tuple[APIRouter, ...] = (
    tokens.router,
    repositories.router,
    images.router,
    policies.router,
    policy_templates.router,
    deployments.router,
    clusters.router,
    registries.router,
    jobs.router,
    keys.router,
    audit.router,
)


def lifespan_of(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, object]]]:
    """Opens the container, and closes it in the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        container = await Container.open(settings)
        try:
            await container.start()
            yield {CONTAINER: container, READINESS: Readiness()}
        finally:
            await container.close()

    return lifespan


def create(settings: Settings) -> FastAPI:
    """The ASGI application. It keeps nothing itself: all that lives is what its lifespan opened."""
    is_serving = settings.jobs.work is not JobsWork.ONLY
    app = FastAPI(
        title="Wharfinger",
        version=VERSION,
        lifespan=lifespan_of(settings),
        openapi_url="/openapi.json" if is_serving else None,
        docs_url=None,  # `api.http.docs` serves them without the internet
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # `api.http.bodies` looks at it; absent, it is JSON
        separate_input_output_schemas=True,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked about on every request
    )
    if is_serving:
        _serve_interface(app)
    else:
        app.router.default = health.refuse
    app.include_router(health.router)
    problems.install(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, most=settings.limits.body_bytes, within=settings.deadlines.body)
    app.add_middleware(RequestContext)
    describe(app)
    return app


def _serve_interface(app: FastAPI) -> None:
    for router in ROUTERS:
        app.include_router(
            router,
            responses=declare(
                ParameterError,
                UnauthenticatedError,
                ForbiddenError,
                RequestTimeoutError,
                HeadersTooLargeError,
                InvalidError,
                AwsPermissionError,
                AwsUnavailableError,
                DeadlineError,
            ),
        )
    serve_docs(app)
