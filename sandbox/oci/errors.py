"""Errors as the OCI distribution specification has them."""

import re

from starlette.responses import JSONResponse, Response

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class OciError(Exception):
    """An error code of the specification, with the status that ECR gives it."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}

    def to_response(self) -> Response:
        body = {"errors": [{"code": self.code, "message": self.message}]}
        return JSONResponse(body, self.status, headers=self.headers)


def require_digest(given: str) -> None:
    """:raises OciError: it is not a SHA-256 digest."""
    if not _DIGEST.fullmatch(given):
        raise OciError(400, "DIGEST_INVALID", f"{given!r} is not a SHA-256 digest")


_OF_ECR = {
    "AccessDeniedException": (403, "DENIED"),
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "InvalidParameterException": (405, "UNSUPPORTED"),
    "LayersNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),
    "ReferencedImagesNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),
    "ImageDigestDoesNotMatchException": (400, "DIGEST_INVALID"),
    "ThrottlingException": (429, "TOOMANYREQUESTS"),
}


def of_ecr(code: str, message: str) -> OciError:
    """The error that a client of the registry sees for one of the API's."""
    status, oci_code = _OF_ECR.get(code, (500, "UNKNOWN"))
    return OciError(status, oci_code, message)
