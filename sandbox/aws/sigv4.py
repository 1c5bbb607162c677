"""Verification of AWS Signature Version 4, in the Authorization header or in a presigned URL. No I/O.

Source: IAM user guide, "Create a signed AWS API request"; for the ages, common errors of the STS API reference.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_TERMINATOR = "aws4_request"
_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_OLDEST = timedelta(minutes=15)
_FURTHEST_AHEAD = timedelta(minutes=5)
_LONGEST_EXPIRY = timedelta(days=7)
_SCOPE_PARTS = 5


class SignatureError(Exception):
    """A request whose sender is not proven; `code` is the one that JSON services answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request says of its own signature: nothing is proven until `verify` has looked."""

    access_key: str
    date: str
    """The day of the credential scope, YYYYMMDD."""
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    token: str | None
    is_presigned: bool
    expires: timedelta | None
    """How long a presigned URL is said to last; None in the header form."""
    at: datetime


def parse(method: str, headers: Mapping[str, str], query: str) -> Signed:
    """The signature that a request carries.

    :param headers: by lower-cased name.
    :param query: as on the wire.
    :raises SignatureError: there is none, or a part of it is missing or unreadable.
    """
    fields = dict(_pairs(query))
    if "authorization" in headers:
        return _from_header(headers)
    if "X-Amz-Signature" in fields or "X-Amz-Algorithm" in fields:
        return _from_query(fields)
    raise SignatureError("MissingAuthenticationTokenException", f"The {method} request is not signed")


def verify(
    signed: Signed,
    secret: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> None:
    """Check that the holder of the secret signed this very request, and not too long ago.

    :param path: as on the wire, percent-encoded.
    :param query: as on the wire.
    :param headers: by lower-cased name; values as ASGI servers decode them, that is, Latin-1.
    :raises SignatureError:
    """
    _check_age(signed, now)
    _check_headers(signed, headers)
    canonical_request = b"\n".join(
        [
            method.encode(),
            _canonical_path(path).encode(),
            _canonical_query(query, is_presigned=signed.is_presigned).encode(),
            *(_canonical_header(name, headers[name]) for name in sorted(signed.signed_headers)),
            b"",
            ";".join(sorted(signed.signed_headers)).encode("latin-1"),
            _payload_hash(headers, body).encode(),
        ]
    )
    expected = _signature(signed, secret, canonical_request)
    if not hmac.compare_digest(expected.encode(), signed.signature.encode()):
        raise _invalid("The signature computed from the request does not match the one provided")


def _from_header(headers: Mapping[str, str]) -> Signed:
    algorithm, _, rest = headers["authorization"].partition(" ")
    if algorithm != _ALGORITHM:
        raise _incomplete(f"The Authorization header must begin with {_ALGORITHM}")
    parts = dict(_pair(part.strip()) for part in rest.split(","))
    return _signed(
        credential=_required(parts, "Credential"),
        signed_headers=_required(parts, "SignedHeaders"),
        signature=_required(parts, "Signature"),
        token=headers.get("x-amz-security-token"),
        at=_time_of(headers),
        expires=None,
    )


def _from_query(fields: Mapping[str, str]) -> Signed:
    if fields.get("X-Amz-Algorithm") != _ALGORITHM:
        raise _incomplete(f"X-Amz-Algorithm must be {_ALGORITHM}")
    return _signed(
        credential=_required(fields, "X-Amz-Credential"),
        signed_headers=_required(fields, "X-Amz-SignedHeaders"),
        signature=_required(fields, "X-Amz-Signature"),
        token=fields.get("X-Amz-Security-Token"),
        at=_timestamp(_required(fields, "X-Amz-Date")),
        expires=_expiry(_required(fields, "X-Amz-Expires")),
    )


def _signed(
    *, credential: str, signed_headers: str, signature: str, token: str | None, at: datetime, expires: timedelta | None
) -> Signed:
    scope = credential.split("/")
    if len(scope) != _SCOPE_PARTS or scope[-1] != _TERMINATOR or not all(scope):
        raise _incomplete(f"The credential must be KEY/DATE/REGION/SERVICE/{_TERMINATOR}, not {credential!r}")
    access_key, date, region, service, _ = scope
    if date != at.strftime("%Y%m%d"):
        raise _invalid(f"The day of the credential scope, {date}, is not that of the request, {at:%Y%m%d}")
    return Signed(
        access_key=access_key,
        date=date,
        region=region,
        service=service,
        signed_headers=tuple(signed_headers.split(";")),
        signature=signature,
        token=token,
        is_presigned=expires is not None,
        expires=expires,
        at=at,
    )


def _required(parts: Mapping[str, str], name: str) -> str:
    if not parts.get(name):
        raise _incomplete(f"{name} is missing from the signature")
    return parts[name]


def _time_of(headers: Mapping[str, str]) -> datetime:
    if "x-amz-date" in headers:
        return _timestamp(headers["x-amz-date"])
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        raise _incomplete("A signed request needs an X-Amz-Date or a Date header") from None


def _timestamp(text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete(f"X-Amz-Date must be of the form YYYYMMDD'T'HHMMSS'Z', not {text!r}") from None


def _expiry(text: str) -> timedelta:
    expires = timedelta(seconds=int(text)) if re.fullmatch("[0-9]{1,6}", text) else None
    if not expires or expires > _LONGEST_EXPIRY:
        raise _incomplete(f"X-Amz-Expires must be 1 to {_LONGEST_EXPIRY.total_seconds():.0f} seconds, not {text!r}")
    return expires


def _check_age(signed: Signed, now: datetime) -> None:
    if signed.at > now + _FURTHEST_AHEAD:
        raise _invalid(f"Signature not yet current: {signed.at:{_TIMESTAMP}} is still later than {now:{_TIMESTAMP}}")
    # STS does not look at X-Amz-Expires: aws-iam-authenticator, pkg/token/token.go.
    lifetime = _OLDEST if signed.expires is None or signed.service == "sts" else signed.expires
    if signed.at + lifetime < now:
        code = "RequestExpired" if signed.is_presigned else "InvalidSignatureException"
        raise SignatureError(code, f"Signature expired: {signed.at:{_TIMESTAMP}} is over {lifetime} ago")


def _check_headers(signed: Signed, headers: Mapping[str, str]) -> None:
    if missing := [name for name in signed.signed_headers if name not in headers]:
        raise _invalid(f"Signed headers are missing from the request: {', '.join(missing)}")
    must_be_signed = {"host", *(name for name in headers if name.startswith("x-amz-"))}
    if unsigned := must_be_signed.difference(signed.signed_headers):
        raise _invalid(f"Headers must be signed: {', '.join(sorted(unsigned))}")


def _canonical_path(path: str) -> str:
    """Dot segments resolved and slashes merged, then encoded once more, as all services but S3 do."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return quote(f"/{'/'.join(segments)}{end}", safe="/~")


def _canonical_query(query: str, *, is_presigned: bool) -> str:
    pairs = [
        (quote(name, safe="~"), quote(value, safe="~"))
        for name, value in _pairs(query)
        if not (is_presigned and name == "X-Amz-Signature")
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _canonical_header(name: str, value: str) -> bytes:
    # As bytes, where only ASCII white space is white space.
    return b":".join([name.encode("latin-1"), b" ".join(value.encode("latin-1").split())])


def _payload_hash(headers: Mapping[str, str], body: bytes) -> str:
    actual = hashlib.sha256(body).hexdigest()
    stated = headers.get("x-amz-content-sha256", actual)
    if stated not in (actual, _UNSIGNED_PAYLOAD):
        raise _invalid("X-Amz-Content-SHA256 is not the hash of the body")
    return stated


def _signature(signed: Signed, secret: str, canonical_request: bytes) -> str:
    scope = f"{signed.date}/{signed.region}/{signed.service}/{_TERMINATOR}"
    digest = hashlib.sha256(canonical_request).hexdigest()
    to_sign = "\n".join([_ALGORITHM, signed.at.strftime(_TIMESTAMP), scope, digest])
    key = _signing_key(secret, signed.date, signed.region, signed.service)
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names and values, percent-decoded; a plus sign stays one."""
    split = (_pair(part) for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, value in split]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _incomplete(message: str) -> SignatureError:
    return SignatureError("IncompleteSignature", message)


def _invalid(message: str) -> SignatureError:
    return SignatureError("InvalidSignatureException", message)
