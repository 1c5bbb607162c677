"""The addresses of load balancers: names as EKS gives them, with nothing behind.

Source: AWS documentation, "Route TCP and UDP traffic with Network Load Balancers" (a Service of type LoadBalancer);
the form of the name is that of Elastic Load Balancing.
"""

from collections.abc import Iterable

from sandbox.kube.kinds import SERVICE
from sandbox.kube.manager import Key
from sandbox.kube.store import Change, Object, Store
from sandbox.kube.view import View, key_of
from sandbox.places import MAIN_REGION

_LONGEST_NAME = 32


class LoadBalancers:
    """Gives each Service that asks for one a name, and takes it away when it asks no more."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.kind is SERVICE:
            yield key_of(change.object)

    def reconcile(self, key: Key) -> None:
        if (service := self._view.find(SERVICE, *key)) is None:
            return
        has_one = bool(_balancer(service).get("ingress"))
        if has_one != (service["spec"].get("type") == "LoadBalancer"):
            present = self._store.get(SERVICE, *key)
            given = {} if has_one else {"ingress": [{"hostname": _hostname(service)}]}
            present["status"] = {**(present.get("status") or {}), "loadBalancer": given}
            self._store.replace(SERVICE, present)


def _balancer(service: Object) -> Object:
    return (service.get("status") or {}).get("loadBalancer") or {}


def _hostname(service: Object) -> str:
    uid = service["metadata"]["uid"].replace("-", "")
    return f"{f'a{uid}'[:_LONGEST_NAME]}.{MAIN_REGION}.elb.amazonaws.com"
