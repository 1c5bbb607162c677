"""The sandbox's one cluster: its API, its controllers, who may reach it, and what it keeps in its folder."""

import base64
import secrets
from pathlib import Path

import yaml

from sandbox.aws.ecr.registry import Registry
from sandbox.aws.eks.access_entries import POLICY_ARN, AccessEntries
from sandbox.aws.identities import OPERATOR, Identities
from sandbox.calls import Calls
from sandbox.faults import Faults
from sandbox.kube.api import KubeApi
from sandbox.kube.collector import Collector, Namespaces
from sandbox.kube.deployments import Deployments
from sandbox.kube.images import Images
from sandbox.kube.load_balancers import LoadBalancers
from sandbox.kube.manager import Manager
from sandbox.kube.node_ports import NodePorts
from sandbox.kube.pods import Pods
from sandbox.kube.replica_sets import ReplicaSets
from sandbox.kube.scheduler import Scheduler
from sandbox.kube.seed import addresses, seed
from sandbox.kube.store import Store
from sandbox.kube.tls import certificates
from sandbox.kube.tokens import Tokens
from sandbox.kube.view import View
from sandbox.places import MAIN_ACCOUNT, Hosts
from sandbox.state import State

CLUSTER = "demo"
_CONTEXT = "sandbox"
_SERVICE_ROLE = f"arn:aws:iam::{MAIN_ACCOUNT}:role/wharfinger"
_SERVICE_GROUP = "wharfinger"
_ADMINISTRATOR = f"arn:aws:iam::{MAIN_ACCOUNT}:user/{OPERATOR}"


class Cluster:
    """Objects, access entries, certificates and addresses of nodes outlive the process with the folder."""

    def __init__(
        self, folder: Path, *, state: State, identities: Identities, hosts: Hosts, calls: Calls, faults: Faults
    ) -> None:
        kept = folder / "cluster"
        kept.mkdir(exist_ok=True)
        self.certificates = certificates(kept)
        self.entries = AccessEntries(state)
        self._addresses = addresses(kept / "node-addresses")
        self._admin_token = _token(kept / "admin-token")
        self._store = Store(state)
        tokens = Tokens(
            cluster=CLUSTER,
            identities=identities,
            entries=self.entries,
            is_sts=hosts.is_sts,
            admin_token=self._admin_token,
        )
        self.api = KubeApi(self._store, tokens.authenticate, faults, calls)
        view = View(self._store)
        registries = [Registry(state, place, hosts.of(place), hosts.layers) for place in hosts.ports]
        self._node_ports = NodePorts(self._store, view)
        self._pods = Pods(self._store, view, Images(registries))
        self._manager = Manager(
            self._store,
            view,
            [
                self._node_ports,
                LoadBalancers(self._store, view),
                Namespaces(self._store, view),
                Collector(self._store, view),
                Deployments(self._store, view),
                ReplicaSets(self._store, view),
                Scheduler(self._store, view),
                self._pods,
            ],
        )
        self._seed()

    async def run(self) -> None:
        """The controllers, the nodes and their ports, until cancelled."""
        try:
            await self._manager.run()
        finally:
            await self._pods.close()
            await self._node_ports.close()

    def reset(self) -> None:
        """Begin anew; the certificates, the addresses and the administrator's token stay."""
        self._store.clear()
        self.entries.clear()
        self._seed()

    def kubeconfig(self, endpoint: str) -> str:
        """YAML of a kubeconfig whose context, `sandbox`, is the cluster's administrator."""
        authority = base64.b64encode(self.certificates.authority.read_bytes()).decode()
        cluster = {"server": endpoint, "certificate-authority-data": authority}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _CONTEXT, "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._admin_token}}],
            "contexts": [{"name": _CONTEXT, "context": {"cluster": _CONTEXT, "user": "admin", "namespace": "default"}}],
            "current-context": _CONTEXT,
        }
        return yaml.safe_dump(document, sort_keys=False)

    def _seed(self) -> None:
        seed(self._store, self._addresses)
        if self.entries.principals():
            return
        self.entries.create(_SERVICE_ROLE, groups=[_SERVICE_GROUP])
        administrator = self.entries.create(_ADMINISTRATOR)
        whole = {"type": "cluster", "namespaces": []}
        self.entries.associate(administrator, f"{POLICY_ARN}AmazonEKSClusterAdminPolicy", whole)


def _token(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text()
