"""What kubectl sends as protobuf whatever the server prefers: what `kubectl create` makes by name.

Source: Kubernetes documentation, "Kubernetes Protobuf encoding"; k8s.io/api core/v1 generated.proto.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.kube.errors import StatusError, bad_request
from sandbox.kube.store import Object

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_BYTES, _VARINT = 2, 0
_MORE = 0x80


@dataclass(frozen=True, slots=True)
class _Message:
    """Fields by number: the name, and what is in it; None is a string."""

    fields: "dict[int, tuple[str, _Message | _Map | None]]"


@dataclass(frozen=True, slots=True)
class _Map:
    """From strings to strings, or to bytes, which JSON has as base64."""

    is_binary: bool = False


_METADATA = _Message({1: ("name", None), 2: ("generateName", None), 3: ("namespace", None), 11: ("labels", _Map())})
_KINDS = {
    "Namespace": _Message({1: ("metadata", _METADATA)}),
    "ServiceAccount": _Message({1: ("metadata", _METADATA)}),
    "ConfigMap": _Message({1: ("metadata", _METADATA), 2: ("data", _Map())}),
    "Secret": _Message({1: ("metadata", _METADATA), 2: ("data", _Map(is_binary=True)), 3: ("type", None)}),
}
_TYPE = _Message({1: ("apiVersion", None), 2: ("kind", None)})


def decode(body: bytes) -> Object:
    """:raises StatusError: 415, a kind that is not read in this form; 400, it cannot be read."""
    if not body.startswith(_MAGIC):
        raise bad_request("the object provided is unrecognized: it does not begin as protobuf")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        named = _read(_TYPE, envelope[1])
        if (message := _KINDS.get(named.get("kind", ""))) is None:
            raise StatusError(415, "UnsupportedMediaType", f"send {named.get('kind')} as application/json")
        return named | _read(message, envelope[2])
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error


def _read(message: _Message, body: bytes) -> Object:
    """What is known of a message and not empty."""
    known: Object = {}
    for number, value in _fields(body):
        if number not in message.fields or not value:
            continue
        name, inner = message.fields[number]
        if isinstance(inner, _Map):
            known[name] = known.get(name, {}) | _entry(inner, value)
        else:
            known[name] = _read(inner, value) if inner else value.decode()
    return known


def _entry(kind: _Map, body: bytes) -> dict[str, str]:
    """One of a map's; each comes as a field of its own."""
    parts = dict(_fields(body))
    value = parts.get(2, b"")
    return {parts.get(1, b"").decode(): base64.b64encode(value).decode() if kind.is_binary else value.decode()}


def _fields(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each length-delimited field; numbers are passed over."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        if tag & 7 == _VARINT:
            _, at = _varint(body, at)
        elif tag & 7 == _BYTES:
            size, at = _varint(body, at)
            yield tag >> 3, body[at : at + size]
            at += size
        else:
            raise IndexError(f"a field of wire type {tag & 7}")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & ~_MORE) << shift
        at, shift = at + 1, shift + 7
        if not byte & _MORE:
            return value, at
