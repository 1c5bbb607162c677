"""Paths: names with slashes as the last thing in one, and where long work can be looked at."""

from starlette.convertors import Convertor, register_url_convertor

from service.base.errors import LongWork


class _NameConvertor(Convertor[str]):
    """Never empty: an unset shell variable must not reach `DELETE /v1/repositories/`."""

    # `.` would leave out a newline at the end, and `app%0A` would be taken for `app`.
    regex = r"[^/][\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _NameConvertor())
NAME_IN_PATH = "/{name:name}"
REFERENCE_IN_PATH = "/{reference:name}"


def path_of(work: LongWork) -> str:
    return f"/v1/{work.kind}s/{work.id}"
