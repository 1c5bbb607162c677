"""The Kubernetes API of one cluster. Objects are plain JSON documents, as the API has them.

Imported late: a service without clusters need not load the models of every kind.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import structlog
from lightkube import ApiError, AsyncClient
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import Cluster, Context, User
from lightkube.core.exceptions import ConfigError
from lightkube.core.resource import api_info
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview
from lightkube.resources.core_v1 import Node, Pod, Service
from lightkube.types import PatchType
from yaml import MarkedYAMLError

from service.base.errors import AnswerLostError, ClusterUnavailableError, NotFoundError, WharfingerError
from service.base.permits import permit
from service.clients.kube.errors import from_status, unauthorized, unreachable
from service.clients.kube.transports import Tokens, transport_to

Object = dict[str, Any]
KINDS: Mapping[str, Any] = {"Deployment": Deployment, "Service": Service, "Pod": Pod, "ReplicaSet": ReplicaSet}

log = structlog.get_logger()

_UNAUTHORIZED, _NOT_FOUND = 401, 404
_TIMEOUT = httpx2.Timeout(10.0, connect=3.0)
_WATCH_SECONDS = 240
"""After which the server ends a watch and we begin another, so that one that hangs is noticed."""
_SILENT_SECONDS = _WATCH_SECONDS + 30.0
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class UnrecordedChangeError(RuntimeError):
    """A change of a cluster was about to be made outside an open operation: a defect of ours, nothing was sent."""


class Kube:
    """One cluster, as our own field manager."""

    def __init__(
        self, name: str, config: SingleConfig, *, manager: str, identity: str, tokens: Tokens | None = None
    ) -> None:
        self.name = name
        self.config = config
        self.is_doubted = False
        """It could not be reached, or does not know us: perhaps it is not the cluster any more that it was."""
        self._identity = identity
        self._is_eks = tokens is not None
        assert config.user is not None  # noqa: S101 - lightkube's own demand
        context = verify_cluster(config.cluster, config.user, config.abs_file)
        transport = transport_to(context, tokens)
        self._client = AsyncClient(config, field_manager=manager, timeout=_TIMEOUT, transport=transport)
        # For what the library has no way to say: preconditions of a delete.
        self._plainly = httpx2.AsyncClient(
            base_url=config.cluster.server, auth=user_auth(config.user), timeout=_TIMEOUT, transport=transport
        )

    async def close(self) -> None:
        """Closes the transport too, which both clients share."""
        await self._client.close()

    async def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        try:
            with self._translated():
                present = await self._client.get(KINDS[kind], name, namespace=namespace)
        except _MissingError:
            return None
        return _plain(present)

    async def apply(self, made: Object, namespace: str, *, force: bool, dry_run: bool = False) -> Object:
        """Server-side apply. With a `resourceVersion` in `made`, only if that is the present one.

        :raises StaleError: it is not. :raises ConflictError: another manager owns a field (`field_conflict`).
        """
        if not dry_run:
            _require_permit(f"apply {made['kind']}")
        with self._translated(is_change=not dry_run):
            typed: Any = KINDS[made["kind"]].from_dict(made)
            client: Any = self._client  # its overloads tell kinds apart that are data here
            done = await client.apply(typed, namespace=namespace, force=force, dry_run=dry_run)
        return _plain(done)

    async def dry_patch(self, present: Object, operations: Sequence[Object]) -> Object:
        """What a JSON patch would make of an object."""
        with self._translated():
            return await self._patch(present, operations, dry_run=True)

    async def set_managers(self, present: Object, entries: Sequence[Object]) -> Object:
        """Write who manages which fields, and nothing else, of an object as it was read.

        :raises StaleError: it has changed since.
        """
        _require_permit(f"set managers of {present['kind']}")
        metadata = {"managedFields": entries, "resourceVersion": present["metadata"]["resourceVersion"]}
        written = [{"op": "replace", "path": f"/metadata/{name}", "value": value} for name, value in metadata.items()]
        with self._translated(is_change=True):
            return await self._patch(present, written)

    async def _patch(self, present: Object, operations: Sequence[Object], *, dry_run: bool = False) -> Object:
        namespace, name = present["metadata"]["namespace"], present["metadata"]["name"]
        client: Any = self._client  # as in `apply`
        done = await client.patch(
            KINDS[present["kind"]], name, operations, namespace=namespace, patch_type=PatchType.JSON, dry_run=dry_run
        )
        return _plain(done)

    async def delete(self, present: Object) -> None:
        """Delete just this object, as it was read, with its dependents; one that is gone already is no error.

        :raises StaleError: it has changed since it was read, or is another of the same name.
        """
        kind, metadata = present["kind"], present["metadata"]
        _require_permit(f"delete {kind}")
        read = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        options = {"propagationPolicy": "Background", "preconditions": read}
        with suppress(_MissingError), self._translated(is_change=True):
            answer = await self._plainly.request("DELETE", _path(kind, metadata), json=options)
            if answer.is_error and answer.headers.get("Content-Type") == "application/json":
                raise ApiError(request=answer.request, response=answer)
            answer.raise_for_status()

    async def nodes(self) -> list[Object]:
        with self._translated():
            return [_plain(one) async for one in self._client.list(Node)]

    async def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Whether we may do this there, by a SelfSubjectAccessReview."""
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        review: Any = SelfSubjectAccessReview.from_dict({"spec": {"resourceAttributes": attributes}})
        with self._translated():
            answer: Any = await self._client.create(review)
        return bool(answer.status and answer.status.allowed)

    async def watch(
        self, kind: str, namespace: str, *, name: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[str, Object]]:
        """What is there and every change after, until the server ends it: (`ADDED` | `MODIFIED` | `DELETED`, object).

        :raises ClusterUnavailableError: the connection broke, or what to go on from is forgotten: begin again.
        """
        fields: Any = {"metadata.name": name} if name else None
        selector: Any = dict(labels) if labels else None
        with self._translated():
            events = self._client.watch(
                KINDS[kind], namespace=namespace, fields=fields, labels=selector, server_timeout=_WATCH_SECONDS
            )
            iterator = aiter(events)
            while True:
                async with asyncio.timeout(_SILENT_SECONDS):
                    change, resource = await anext(iterator)
                yield change, _plain(resource)

    async def list(self, kind: str, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        with self._translated():
            listed = self._client.list(KINDS[kind], namespace=namespace, labels=dict(labels))
            return [_plain(one) async for one in listed]

    @contextmanager
    def _translated(self, *, is_change: bool = False) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            status = error.status.to_dict()
            if error.status.code == _NOT_FOUND and (status.get("details") or {}).get("kind") != "namespaces":
                raise _MissingError("object", self.name) from error
            if error.status.code == _UNAUTHORIZED:
                raise self._unauthorized() from error
            raise from_status(error.status.code or 500, status, self.name) from error
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == _UNAUTHORIZED:
                raise self._unauthorized() from error
            raise from_status(error.response.status_code, {}, self.name) from error
        except ConfigError as error:
            # Credentials are had as a request goes out: from a file, or by a command, whose words are for the operator.
            self.is_doubted = True
            log.warning("cluster_credentials_missing", cluster=self.name, text=str(error))
            raise ClusterUnavailableError(
                f"The credentials of {self._identity} for cluster {self.name} can't be had.", retry_after=5
            ) from error
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            self.is_doubted = True
            if is_change and not isinstance(error, _NEVER_SENT):
                raise AnswerLostError(f"The answer of cluster {self.name} was lost.", retry_after=5) from error
            raise unreachable(self.name) from error
        except (ValueError, KeyError) as error:
            # Of something in front of the API server, or cut short: the library parses all that is called JSON.
            log.warning("cluster_answer_unreadable", cluster=self.name, exc_info=True)
            raise (AnswerLostError if is_change else ClusterUnavailableError)(
                f"Cluster {self.name} answered what can't be read.", retry_after=5
            ) from error

    def _unauthorized(self) -> WharfingerError:
        self.is_doubted = True
        return unauthorized(self.name, self._identity, is_eks=self._is_eks)


class _MissingError(NotFoundError):
    """Nothing of that name; each method says what that means."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__("cluster", f"{name}: {kind}")


def _path(kind: str, metadata: Mapping[str, Any]) -> str:
    about = api_info(KINDS[kind])
    root = f"apis/{about.resource.group}" if about.resource.group else "api"
    return f"{root}/{about.resource.version}/namespaces/{metadata['namespace']}/{about.plural}/{metadata['name']}"


def eks_config(name: str, endpoint: str, certificate_authority: str) -> SingleConfig:
    cluster = Cluster(server=endpoint, certificate_auth_data=certificate_authority)
    return SingleConfig(name, Context(cluster=name, user=name), cluster, User())


def of_file(name: str, file: Path, context: str | None, *, manager: str) -> Kube:
    """The cluster of a kubeconfig's context, the current one where none is named.

    :raises ClusterUnavailableError: the file or its context can't be used.
    """
    try:
        configured = KubeConfig.from_file(file).get(context)
        if configured is not None:
            whole = configured if configured.user else configured._replace(user=User())
            return Kube(name, whole, manager=manager, identity=f"the user of {file}")
    except Exception as error:  # noqa: BLE001 - the library trips over a malformed file in any way
        # Without its cause, which may quote the file, and so a token.
        raise ClusterUnavailableError(f"The kubeconfig {file} can't be used: {_mistake_of(error)}") from None
    raise ClusterUnavailableError(f"The kubeconfig {file} has no context {context or 'that is current'}.")


def _mistake_of(error: Exception) -> str:
    """What has to be mended in a kubeconfig, without anything that stands in it beside names."""
    if isinstance(error, ConfigError | OSError):
        return str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"it is no YAML at line {error.problem_mark.line + 1}."
    return "it is not as kubectl writes one."


def _require_permit(what: str) -> None:
    """:raises UnrecordedChangeError: there is none. :raises DeadlineError: its term is over."""
    current = permit.get()
    if current is None:
        raise UnrecordedChangeError(f"{what} outside an open operation")
    current.require_time()
    current.is_sent = True


def _plain(model: Any) -> Object:  # noqa: ANN401 - lightkube's models
    return dict(model.to_dict())
