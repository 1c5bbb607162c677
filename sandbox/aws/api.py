"""AWS's APIs at one place: who signed, which service and operation, and the answer in that service's protocol."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from sandbox.aws import cloudtrail, iam, moto_server, sigv4, sts, sts_web_identity
from sandbox.aws.ecr import api as ecr
from sandbox.aws.ecr.errors import EcrError
from sandbox.aws.ecr.model import TARGET
from sandbox.aws.ecr.registry import Registry
from sandbox.aws.eks import requests as eks_requests
from sandbox.aws.eks.api import Eks
from sandbox.aws.identities import Identities, Known
from sandbox.aws.issuer import Issuer
from sandbox.aws.moto_server import NotImitatedError
from sandbox.aws.sigv4 import SignatureError, Signed
from sandbox.calls import Asked, Calls
from sandbox.clock import CLOCK
from sandbox.faults import FaultError
from sandbox.places import Place

_JSON = "application/x-amz-json-1.1"
_REST_JSON = "application/json"
_BAD_REQUEST, _FORBIDDEN = 400, 403
_EKS_SCOPE = "/eks/aws4_request"
_UNSIGNED = (sts_web_identity.ACTION, "AssumeRoleWithSAML")


class Registries(Protocol):
    def __call__(self, place: Place) -> Registry: ...


@dataclass(frozen=True, slots=True)
class AwsRequest:
    """A request with its body read and its operation found."""

    http: Request
    body: bytes
    fields: Mapping[str, str]
    """The fields of a Query request."""
    asked: Asked

    @property
    def is_json(self) -> bool:
        return "x-amz-target" in self.http.headers

    @property
    def is_rest(self) -> bool:
        return not self.is_json and "Action" not in self.fields

    @property
    def path(self) -> str:
        """As on the wire."""
        return str(self.http.scope["raw_path"].decode())


async def read(http: Request) -> AwsRequest:
    body = await http.body()
    target = http.headers.get("x-amz-target")
    if target is not None:
        service, _, operation = target.rpartition(".")
        asked = Asked("ecr" if service == TARGET else service, operation)
        return AwsRequest(http, body, {}, asked)
    if _EKS_SCOPE in http.headers.get("authorization", ""):
        operation = eks_requests.operation_of(http.method, http.scope["raw_path"].decode())
        return AwsRequest(http, body, {}, Asked("eks", operation))
    texts = http.url.query, body.decode(errors="replace")
    fields = {name: value for text in texts for name, value in parse_qsl(text, keep_blank_values=True)}
    operation = fields.get("Action", f"{http.method} {http.url.path}")
    return AwsRequest(http, body, fields, Asked("", operation))


class Aws:
    """Answers the requests that come to one place."""

    def __init__(
        self,
        *,
        identities: Identities,
        issuer: Issuer,
        registries: Registries,
        clusters: Eks,
        place: Place,
        calls: Calls,
    ) -> None:
        self._identities = identities
        self._issuer = issuer
        self._registries = registries
        self._clusters = clusters
        self._place = place
        self._calls = calls

    async def answer(self, request: AwsRequest) -> Response:  # noqa: PLR0911 - one for each kind of refusal
        """The answer; errors are answers too, noted in `request.asked`."""
        try:
            if request.asked.operation in _UNSIGNED:
                return self._unsigned(request)
            return await self._signed(request)
        except NotImitatedError:
            return _not_imitated(request)
        except SignatureError as error:
            return _refusal(request, _FORBIDDEN, error.code, str(error))
        except EcrError as error:
            return _refusal(request, _BAD_REQUEST, error.code, error.message, error.members)
        except eks_requests.EksError as error:
            return _refusal(request, error.status, error.code, error.message, error.members)
        except sts.StsError as error:
            return _query_refusal(request, error)

    def refuse(self, request: AwsRequest, fault: FaultError) -> Response:
        return _refusal(request, fault.status, fault.code, "made to fail by a fault of the sandbox")

    async def _signed(self, request: AwsRequest) -> Response:
        signed, caller = self._authenticate(request)
        request.asked.service = signed.service
        request.asked.principal = caller.arn
        if signed.service == "ecr":
            return await self._ecr(request, signed, caller)
        if signed.service == "eks":
            return self._eks(request, caller)
        action = request.asked.operation
        if signed.service == "cloudtrail":
            return self._cloudtrail(request, caller)
        if signed.service == "sts":
            if action not in sts.ACTIONS:
                raise NotImitatedError
            request.asked.parameters = dict(request.fields)
            return Response(sts.answer(self._identities, caller, action, request.fields), media_type="text/xml")
        if signed.service == "iam":
            iam.require(self._identities.principal(caller), action, request.fields)
            iam.check_documents(request.fields)
        return await asyncio.to_thread(moto_server.answer, request.http, signed.service, request.body)

    def _cloudtrail(self, request: AwsRequest, caller: Known) -> Response:
        if request.asked.operation != cloudtrail.ACTION:
            raise NotImitatedError
        principal = self._identities.principal(caller)
        return _json(cloudtrail.lookup(self._calls.all(), self._place, principal, json.loads(request.body)))

    def _unsigned(self, request: AwsRequest) -> Response:
        request.asked.service = "sts"
        if request.asked.operation != sts_web_identity.ACTION:
            raise NotImitatedError
        # The token is a secret of its holder's.
        request.asked.parameters = {**request.fields, "WebIdentityToken": "***"}
        answer = sts_web_identity.answer(self._identities, self._issuer, request.fields)
        return Response(answer, media_type="text/xml")

    async def _ecr(self, request: AwsRequest, signed: Signed, caller: Known) -> Response:
        try:
            given = json.loads(request.body or b"{}")
        except ValueError:
            raise EcrError("SerializationException", "The body is not JSON") from None
        request.asked.parameters = given if isinstance(given, dict) else {}
        account = request.asked.parameters.get("registryId", caller.account)
        registry = self._registries(Place(str(account), self._place.region))
        principal = self._identities.principal(caller)
        result = await ecr.answer(registry, principal, signed.access_key, request.asked.operation, given)
        return _json(result)

    def _eks(self, request: AwsRequest, caller: Known) -> Response:
        asked = eks_requests.read(request.http.method, request.path, request.http.query_params, request.body)
        request.asked.parameters = asked.parameters
        return _json(self._clusters.answer(self._identities.principal(caller), asked), kind=_REST_JSON)

    def _authenticate(self, request: AwsRequest) -> tuple[Signed, Known]:
        """Whose request it is.

        :raises SignatureError:
        """
        http = request.http
        headers = {name: ",".join(http.headers.getlist(name)) for name in http.headers}
        query = http.scope["query_string"].decode()
        signed = sigv4.parse(http.method, headers, query)
        caller = self._identities.find(signed.access_key)
        if caller is None or caller.token != signed.token:
            raise SignatureError(
                "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        sigv4.verify(
            signed,
            caller.secret,
            method=http.method,
            path=request.path,
            query=query,
            headers=headers,
            body=request.body,
            now=datetime.now(UTC),
        )
        if caller.expires_at is not None and caller.expires_at < CLOCK.time():
            raise SignatureError("ExpiredTokenException", "The security token included in the request is expired")
        if signed.service == "ecr" and signed.region != self._place.region:
            raise SignatureError(
                "InvalidSignatureException",
                f"Credential should be scoped to a valid region: {self._place.region}, not {signed.region}",
            )
        return signed, caller


def _refusal(
    request: AwsRequest, status: int, code: str, message: str, members: Mapping[str, object] | None = None
) -> Response:
    request.asked.error = code
    if request.is_json:
        # AWS answers client errors of JSON services with 400, those of authentication among them.
        body = {"__type": code, "message": message, **(members or {})}
        return _json(body, _BAD_REQUEST if status == _FORBIDDEN else status)
    if request.is_rest:
        return _json({"message": message, **(members or {})}, status, kind=_REST_JSON, error=code)
    return _query_refusal(request, sts.StsError(status, _QUERY_CODES.get(code, code), message))


def _query_refusal(request: AwsRequest, error: sts.StsError) -> Response:
    request.asked.error = error.code
    return Response(sts.error_body(error, secrets.token_hex(16)), error.status, media_type="text/xml")


def _not_imitated(request: AwsRequest) -> Response:
    """What no SDK repeats: the code for a command that is not to be had, in the words of each protocol."""
    code = "UnsupportedCommandException" if request.is_json or request.is_rest else "InvalidAction"
    return _refusal(request, _BAD_REQUEST, code, f"The sandbox does not imitate {request.asked.operation}")


_QUERY_CODES = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "ExpiredTokenException": "ExpiredToken",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "ThrottlingException": "Throttling",
}
"""What the Query protocol calls what JSON services call otherwise."""


def _json(body: Any, status: int = 200, *, kind: str = _JSON, error: str | None = None) -> Response:  # noqa: ANN401 - JSON
    headers = {"x-amzn-RequestId": secrets.token_hex(16), "Content-Type": kind}
    if error:
        headers["x-amzn-ErrorType"] = error
    return Response(json.dumps(body), status, headers)
