"""Quantities of cpu and memory, and what pods ask for."""

import re
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from sandbox.kube.store import Object

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_UNITS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}


@lru_cache
def parse(text: str | float) -> Decimal:
    """The amount of a quantity: `500m` is 0.5.

    :raises ValueError: it is not a quantity.
    """
    matched = _FORM.fullmatch(str(text))
    if matched is None:
        raise ValueError(f"{text!r} is not a quantity")
    return Decimal(matched[1]) * _UNITS[matched[2] or ""]


def to_text(amount: Decimal) -> str:
    """As Kubernetes would write a sum: thousandths where it is not whole, binary units where they fit."""
    if amount != amount.to_integral_value():
        return f"{(amount * 1000).to_integral_value(ROUND_CEILING)}m"
    whole = int(amount)
    for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        size = int(_UNITS[unit])
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return str(whole)


def asked_for(pod: Object, resource: str, which: str = "requests") -> Decimal:
    """The sum over the pod's containers of a request, or of a limit; a limit stands for a request that is not there."""
    return sum((_of(one, resource, which) for one in pod["spec"]["containers"]), Decimal(0))


def total(pods: Iterable[Object], resource: str, which: str = "requests") -> Decimal:
    return sum((asked_for(pod, resource, which) for pod in pods), Decimal(0))


def _of(container: Object, resource: str, which: str) -> Decimal:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    stated = limits if which == "limits" else {**limits, **(resources.get("requests") or {})}
    return parse(stated.get(resource, 0))
