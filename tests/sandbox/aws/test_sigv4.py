"""Signatures made by botocore, verified by the sandbox; what is altered on the way is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session

from sandbox.aws.sigv4 import SignatureError, Signed, parse, verify

KEY, SECRET, TOKEN = "AKIAEXAMPLE", "a+secret/of=someone", "a/token+with=signs=="
REGION = "eu-central-1"
WITHOUT_TOKEN, WITH_TOKEN = Credentials(KEY, SECRET), Credentials(KEY, SECRET, TOKEN)
STS_URL = f"https://sts.{REGION}.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
ECR_URL = f"https://api.ecr.{REGION}.amazonaws.com/"
BODY = b'{"repositoryNames":["team/app"]}'
TARGET = {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"}


@dataclass(frozen=True)
class Wire:
    """A request as a server gets it from the wire."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str | bytes], body: bytes = b"") -> "Wire":
        parts = urlsplit(url)
        sent = {"host": parts.netloc} | {name.lower(): _latin_1(value) for name, value in headers.items()}
        return cls(method, parts.path, parts.query, sent, body)

    def parse(self) -> Signed:
        return parse(self.method, self.headers, self.query)

    def verify(self, secret: str = SECRET, *, age: timedelta = timedelta()) -> Signed:
        signed = self.parse()
        verify(
            signed,
            secret,
            method=self.method,
            path=self.path,
            query=self.query,
            headers=self.headers,
            body=self.body,
            now=signed.at + age,
        )
        return signed

    def refused(self, secret: str = SECRET, *, age: timedelta = timedelta()) -> str:
        """The code of the refusal."""
        with pytest.raises(SignatureError) as refusal:
            self.verify(secret, age=age)
        return refusal.value.code

    def but(self, **headers: str) -> "Wire":
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **named})

    def without(self, name: str) -> "Wire":
        return replace(self, headers={key: value for key, value in self.headers.items() if key != name})


def _latin_1(value: str | bytes) -> str:
    """Clients send UTF-8, ASGI servers hand out Latin-1."""
    return (value if isinstance(value, bytes) else value.encode()).decode("latin-1")


def sign(
    url: str = ECR_URL,
    body: bytes = BODY,
    headers: Mapping[str, str] = TARGET,
    *,
    service: str = "ecr",
    credentials: Credentials = WITHOUT_TOKEN,
) -> Wire:
    request = AWSRequest(method="POST", url=url, data=body, headers=dict(headers))
    SigV4Auth(credentials, service, REGION).add_auth(request)
    return Wire.of("POST", url, request.headers, body)


def presign(
    url: str = STS_URL,
    headers: Mapping[str, str] | None = None,
    *,
    service: str = "sts",
    expires: int = 60,
    credentials: Credentials = WITHOUT_TOKEN,
) -> Wire:
    request = AWSRequest(method="GET", url=url, headers=dict(headers or {}))
    SigV4QueryAuth(credentials, service, REGION, expires=expires).add_auth(request)
    return Wire.of("GET", request.url, headers or {})


@pytest.mark.parametrize("credentials", [WITHOUT_TOKEN, WITH_TOKEN], ids=["key", "session"])
@pytest.mark.parametrize(
    ("service", "url", "body"),
    [
        ("ecr", ECR_URL, BODY),
        ("sts", STS_URL, b""),
        ("sts", f"https://sts.{REGION}.amazonaws.com", b"Action=AssumeRole&RoleSessionName=ci"),
        ("ecr", "http://127.0.0.1:4566/", BODY),
    ],
)
def test_a_header_signature(service: str, url: str, body: bytes, credentials: Credentials) -> None:
    signed = sign(url, body, service=service, credentials=credentials).verify()
    assert (signed.access_key, signed.region, signed.service) == (KEY, REGION, service)
    assert signed.token == credentials.token
    assert not signed.is_presigned
    assert signed.expires is None


@pytest.mark.parametrize("credentials", [WITHOUT_TOKEN, WITH_TOKEN], ids=["key", "session"])
@pytest.mark.parametrize(("service", "url"), [("sts", STS_URL), ("ecr", f"{ECR_URL}?Action=x%2Fy&b=%20~&a=&c")])
def test_a_presigned_url(service: str, url: str, credentials: Credentials) -> None:
    signed = presign(url, service=service, credentials=credentials).verify()
    assert (signed.access_key, signed.region, signed.service) == (KEY, REGION, service)
    assert signed.token == credentials.token
    assert signed.is_presigned
    assert signed.expires == timedelta(seconds=60)


class SentError(Exception):
    """Ends a call of botocore's client where the request would leave for the network."""

    def __init__(self, request: Any) -> None:  # noqa: ANN401 - botocore has no types
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        self.wire = Wire.of(request.method, request.url, request.headers, body)


def stop(request: Any, **_: object) -> None:  # noqa: ANN401 - as above
    raise SentError(request)


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("ecr", "describe_repositories", {"repositoryNames": ["team/app"]}),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::111111111111:role/w", "RoleSessionName": "a+b"}),
        ("iam", "list_roles", {}),
        ("eks", "describe_cluster", {"name": "a/b c%20"}),
    ],
)
def test_what_a_client_of_botocore_sends(service: str, operation: str, parameters: Mapping[str, str]) -> None:
    client = Session().create_client(
        service,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        aws_session_token=TOKEN,
    )
    client.meta.events.register("before-send", stop)
    with pytest.raises(SentError) as sent:
        getattr(client, operation)(**parameters)
    assert sent.value.wire.verify().service == service


def test_the_token_of_an_eks_cluster() -> None:
    url = presign(headers={"x-k8s-aws-id": "demo"}, credentials=WITH_TOKEN)
    assert url.verify(age=timedelta(minutes=14)).signed_headers == ("host", "x-k8s-aws-id")
    assert url.but(x_k8s_aws_id="other").refused() == "InvalidSignatureException"
    assert url.without("x-k8s-aws-id").refused() == "InvalidSignatureException"


@pytest.mark.parametrize("value", ["  two  spaces ", "tab\tin it", "", "a,b;c=d:e", "caf\u00e9 \u00e0 la \u6e2f"])
def test_odd_header_values(value: str) -> None:
    sign(headers={"X-Odd": value}).verify()


@pytest.mark.parametrize("path", ["", "/", "//a//b", "/a/./b/../c/", "/a%20b/%2F", "/~a/b+c", "/..", "/a:b@c"])
def test_odd_paths(path: str) -> None:
    sign(f"https://api.ecr.{REGION}.amazonaws.com{path}").verify()


def test_the_order_of_the_query_does_not_matter() -> None:
    url = presign()
    replace(url, query="&".join(reversed(url.query.split("&")))).verify()


def test_a_date_header_in_place_of_the_one_of_aws() -> None:
    signed = sign(headers={"Date": format_datetime(datetime.now(UTC))})
    assert "x-amz-date" not in signed.headers
    signed.verify()


def test_the_hash_of_the_body_may_be_stated() -> None:
    wire = sign(headers={"X-Amz-Content-SHA256": sha256(BODY).hexdigest()})
    wire.verify()
    assert replace(wire, body=b"{}").refused() == "InvalidSignatureException"


def test_the_body_may_be_left_unsigned() -> None:
    replace(sign(headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}), body=b"something else").verify()


@pytest.mark.parametrize("wire", [sign(), presign(), sign(credentials=WITH_TOKEN), presign(credentials=WITH_TOKEN)])
class TestAltered:
    """Whatever was signed cannot be changed."""

    def test_another_secret(self, wire: Wire) -> None:
        assert wire.refused(SECRET + "x") == "InvalidSignatureException"

    def test_another_body(self, wire: Wire) -> None:
        assert replace(wire, body=b"{}").refused() == "InvalidSignatureException"

    def test_another_host(self, wire: Wire) -> None:
        assert wire.but(host="elsewhere").refused() == "InvalidSignatureException"

    def test_another_method(self, wire: Wire) -> None:
        assert replace(wire, method="PUT").refused() == "InvalidSignatureException"

    def test_another_path(self, wire: Wire) -> None:
        assert replace(wire, path="/elsewhere").refused() == "InvalidSignatureException"

    def test_one_more_parameter(self, wire: Wire) -> None:
        assert replace(wire, query=wire.query + "&a=b").refused() == "InvalidSignatureException"

    def test_one_more_header_of_aws(self, wire: Wire) -> None:
        assert wire.but(x_amz_extra="b").refused() == "InvalidSignatureException"

    def test_one_more_header_of_a_proxy(self, wire: Wire) -> None:
        wire.but(x_forwarded_for="127.0.0.1").verify()


@pytest.mark.parametrize("name", ["x-amz-target", "x-amz-security-token"])
def test_an_altered_header(name: str) -> None:
    wire = sign(credentials=WITH_TOKEN)
    assert replace(wire, headers={**wire.headers, name: "other"}).refused() == "InvalidSignatureException"
    assert wire.without(name).refused() == "InvalidSignatureException"


def test_an_altered_parameter_of_a_presigned_url() -> None:
    url = presign(expires=60)
    assert "X-Amz-Expires=60" in url.query
    longer = replace(url, query=url.query.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))
    assert longer.refused() == "InvalidSignatureException"


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("wire", "oldest", "code"),
    [
        (sign(), timedelta(minutes=15), "InvalidSignatureException"),
        (presign(ECR_URL, service="ecr", expires=60), timedelta(seconds=60), "RequestExpired"),
        (presign(expires=60), timedelta(minutes=15), "RequestExpired"),
        (presign(expires=3600), timedelta(minutes=15), "RequestExpired"),
    ],
    ids=["header", "presigned", "sts, short", "sts, long"],
)
def test_age(wire: Wire, oldest: timedelta, code: str) -> None:
    wire.verify(age=oldest)
    assert wire.refused(age=oldest + SECOND) == code
    wire.verify(age=timedelta(minutes=-5))
    assert wire.refused(age=timedelta(minutes=-5) - SECOND) == "InvalidSignatureException"


SCOPE = f"AKIA/20261123/{REGION}/ecr/aws4_request"
AUTHORIZATION = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature=00"
QUERY = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE}&X-Amz-Date=20261123T000000Z&X-Amz-Expires=60"
INCOMPLETE = {
    "another scheme": (AUTHORIZATION.replace("AWS4-HMAC-SHA256", "Basic"), ""),
    "no credential": (AUTHORIZATION.replace("Credential", "Cred"), ""),
    "no signed headers": (AUTHORIZATION.replace("SignedHeaders=host;x-amz-date", "SignedHeaders="), ""),
    "no signature": (AUTHORIZATION.partition(", Signature")[0], ""),
    "short credential": (AUTHORIZATION.replace("/ecr", ""), ""),
    "empty Region": (AUTHORIZATION.replace(REGION, ""), ""),
    "no terminator": (AUTHORIZATION.replace("aws4_request", "aws5_request"), ""),
    "presigned, no signature": (None, QUERY + "&X-Amz-SignedHeaders=host"),
    "presigned, no signed headers": (None, QUERY + "&X-Amz-Signature=00"),
    "presigned, another algorithm": (None, "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256"),
    "presigned, no algorithm": (None, "X-Amz-Signature=00"),
    "presigned for ever": (None, f"{QUERY}0000000&X-Amz-SignedHeaders=host&X-Amz-Signature=00"),
    "presigned for no time": (None, f"{QUERY[:-2]}0&X-Amz-SignedHeaders=host&X-Amz-Signature=00"),
    "presigned for over a week": (None, f"{QUERY[:-2]}604801&X-Amz-SignedHeaders=host&X-Amz-Signature=00"),
    "presigned for words": (None, f"{QUERY}s&X-Amz-SignedHeaders=host&X-Amz-Signature=00"),
}


@pytest.mark.parametrize(("authorization", "query"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_an_incomplete_signature(authorization: str | None, query: str) -> None:
    headers = {"x-amz-date": "20261123T000000Z"} | ({} if authorization is None else {"authorization": authorization})
    assert Wire("POST", "/", query, headers).refused() == "IncompleteSignature"


@pytest.mark.parametrize(
    "date", [{}, {"x-amz-date": "today"}, {"date": "today"}, {"date": "Fri, 31 Dec 9999 23:59:59 -2300"}]
)
def test_an_unreadable_date(date: Mapping[str, str]) -> None:
    headers = {"host": "h", "authorization": AUTHORIZATION, **date}
    assert Wire("POST", "/", "", headers).refused() == "IncompleteSignature"


def test_the_day_of_the_scope_is_that_of_the_request() -> None:
    headers = {"host": "h", "authorization": AUTHORIZATION, "x-amz-date": "20261124T000000Z"}
    with pytest.raises(SignatureError, match="20261123, is not that of the request, 20261124"):
        Wire("POST", "/", "", headers).parse()


def test_no_host_among_the_signed_headers() -> None:
    headers = {"authorization": AUTHORIZATION.replace("host;", ""), "x-amz-date": "20261123T000000Z"}
    assert Wire("POST", "/", "", headers).refused() == "InvalidSignatureException"


def test_a_signature_that_is_not_even_hexadecimal() -> None:
    wire = sign()
    signature = wire.parse().signature
    accented = wire.headers["authorization"].replace(signature, "\u00e9")
    assert wire.but(authorization=accented).refused() == "InvalidSignatureException"


def test_no_signature() -> None:
    assert Wire("GET", "/", "Action=GetCallerIdentity").refused() == "MissingAuthenticationTokenException"
