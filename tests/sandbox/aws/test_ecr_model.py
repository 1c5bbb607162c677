"""Every operation of ECR in the overlaid model, asked well and badly: shapes and codes of answers are the model's."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.aws.ecr.model import TARGET
from sandbox.aws.ecr.model import service as model
from sandbox.server import Sandbox
from tests.conftest import ACCOUNT, REGION

Ask = Callable[[str, bytes], httpx.Response]
_DIGEST = "sha256:" + "0" * 64
_CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _DIGEST, "size": 2}
_MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": _CONFIG}
_STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "ecr:ListImages"}
_GOOD: dict[str, Any] = {
    "repositoryName": "app",
    "imageIds": [{"imageTag": "1"}],
    "layerDigests": [_DIGEST],
    "layerDigest": _DIGEST,
    "uploadId": "00000000-0000-0000-0000-000000000000",
    "imageManifest": json.dumps(_MANIFEST | {"layers": []}),
    "policyText": json.dumps({"Version": "2012-10-17", "Statement": [_STATEMENT]}),
    "partFirstByte": 0,
    "partLastByte": 0,
    "layerPartBlob": "eA==",
    "resourceArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/app",
    "tags": [{"Key": "a", "Value": "b"}],
    "tagKeys": ["a"],
    "imageTagMutability": "MUTABLE",
    "imageScanningConfiguration": {"scanOnPush": True},
    "name": "BASIC_SCAN_TYPE_VERSION",
    "value": "AWS_NATIVE",
    "imageId": {"imageTag": "1"},
    "targetStorageClass": "ARCHIVE",
    "ecrRepositoryPrefix": "docker-hub",
    "upstreamRegistryUrl": "public.ecr.aws",
}
_BAD: tuple[Any, ...] = (5, -1, 10**30, True, "", "\x00", "é" * 11_000, [], [[]], [{}], [5], {}, {"a": 5})
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "timestamp": float,
    "structure": dict,
    "list": list,
}
_COMMON = {"InvalidParameterException", "UnsupportedCommandException"}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def ask(aws: Sandbox, http: httpx.Client) -> Ask:
    """Asks as the account's operator, past everything that an SDK checks by itself."""
    keys = aws.credentials()
    signer = SigV4Auth(Credentials(keys.access_key, keys.secret_key), "ecr", REGION)

    def send(operation: str, body: bytes) -> httpx.Response:
        headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", f"{aws.endpoint()}/", data=body, headers=headers)
        signer.add_auth(request)
        return http.post(f"{aws.endpoint()}/", content=body, headers=dict(request.prepare().headers))

    return send


def good(operation: str) -> dict[str, Any]:
    """The least that the model asks for; what nothing of it is known for here is left to be refused."""
    return {
        name: _GOOD[name] for name in model().operation_model(operation).input_shape.required_members if name in _GOOD
    }


def require_conforming(operation: str, answer: httpx.Response) -> None:
    about, said = model().operation_model(operation), answer.json()
    if answer.status_code == 200:
        assert list(differences(about.output_shape, said, operation)) == []
    else:
        assert answer.status_code == 400
        assert said["__type"] in {shape.name for shape in about.error_shapes} | _COMMON


def differences(shape: Any, value: Any, at: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    if not isinstance(value, _TYPES[shape.type_name]):
        yield f"{at}: {value!r} is no {shape.type_name}"
    elif shape.type_name == "structure":
        yield from (f"{at}.{name} is unknown" for name in value.keys() - shape.members.keys())
        yield from (f"{at}.{name} is missing" for name in shape.required_members if name not in value)
        for name in value.keys() & shape.members.keys():
            yield from differences(shape.members[name], value[name], f"{at}.{name}")
    elif shape.type_name == "list":
        for one in value:
            yield from differences(shape.member, one, f"{at}[]")


@pytest.mark.parametrize("operation", sorted(model().operation_names))
def test_an_operation_answers_as_the_model_has_it(ask: Ask, operation: str) -> None:
    require_conforming("CreateRepository", ask("CreateRepository", b'{"repositoryName": "app"}'))
    require_conforming(operation, ask(operation, json.dumps(good(operation)).encode()))
    for body in (b"{}", b"[]", b"null", b"5"):
        require_conforming(operation, ask(operation, body))
    assert ask(operation, b"{").json()["__type"] == "SerializationException"


@pytest.mark.parametrize("operation", sorted(model().operation_names))
def test_no_member_is_taken_for_what_it_is_not(ask: Ask, operation: str) -> None:
    ask("CreateRepository", b'{"repositoryName": "app"}')
    for name in model().operation_model(operation).input_shape.members:
        for value in _BAD:
            require_conforming(operation, ask(operation, json.dumps(good(operation) | {name: value}).encode()))
