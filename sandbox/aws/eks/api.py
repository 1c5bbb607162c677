"""EKS's API about the one cluster, as botocore's service model has it.

For which resource an action is about: Service Authorization Reference, "Actions, resources, and condition keys for
Amazon Elastic Kubernetes Service".
"""

from collections.abc import Callable

from sandbox.aws.eks.access_entries import LEVELS, POLICY_ARN, AccessEntries, Entry
from sandbox.aws.eks.nodes import ROLE_MEMBERS, Kind, NodeSources
from sandbox.aws.eks.requests import Asked, EksError, Json, not_found, page
from sandbox.aws.eks.shapes import ClusterFacts, id_of
from sandbox.aws.policy import Principal, Request, is_allowed
from sandbox.places import Place


class Eks:
    """EKS of one account and Region.

    :param facts: the cluster there; None: there is none.
    """

    def __init__(self, place: Place, facts: ClusterFacts | None, entries: AccessEntries, nodes: NodeSources) -> None:
        self._place = place
        self._facts = facts
        self._entries = entries
        self._nodes = nodes
        self._handlers: dict[str, Callable[[ClusterFacts, Asked], Json]] = {
            "DescribeCluster": lambda facts, _: {"cluster": facts.cluster() | nodes.compute()},
            "UpdateClusterConfig": self._update_compute,
            "ListNodegroups": lambda _, asked: page("nodegroups", nodes.names("nodegroup"), asked),
            "CreateNodegroup": lambda _, asked: self._create_nodes("nodegroup", asked),
            "DescribeNodegroup": lambda _, asked: self._one_of_nodes("nodegroup", asked),
            "DeleteNodegroup": lambda _, asked: self._delete_nodes("nodegroup", asked),
            "ListFargateProfiles": lambda _, asked: page("fargateProfileNames", nodes.names("fargateProfile"), asked),
            "CreateFargateProfile": lambda _, asked: self._create_nodes("fargateProfile", asked),
            "DescribeFargateProfile": lambda _, asked: self._one_of_nodes("fargateProfile", asked),
            "DeleteFargateProfile": lambda _, asked: self._delete_nodes("fargateProfile", asked),
            "ListAccessEntries": self._list_entries,
            "CreateAccessEntry": self._create_entry,
            "DescribeAccessEntry": lambda facts, asked: {"accessEntry": _shown(facts, self._entry(asked))},
            "DeleteAccessEntry": self._delete_entry,
            "ListAssociatedAccessPolicies": self._list_policies,
            "AssociateAccessPolicy": self._associate,
            "DisassociateAccessPolicy": self._dissociate,
        }

    def answer(self, principal: Principal, asked: Asked) -> Json:
        """:raises EksError:"""
        self._require(principal, asked)
        if asked.operation == "ListClusters":
            return page("clusters", [self._facts.name] if self._facts else [], asked)
        handler = self._handlers.get(asked.operation)
        if handler is None:
            raise EksError(400, "ClientException", f"The sandbox does not imitate {asked.operation}")
        if self._facts is None or asked.names[0] != self._facts.name:
            raise not_found(f"No cluster found for name: {asked.names[0]}.", clusterName=asked.names[0])
        return handler(self._facts, asked)

    def _require(self, principal: Principal, asked: Asked) -> None:
        action, resource = f"eks:{asked.operation}", self._resource(asked)
        request = Request(action=action, resource=resource, principal=principal)
        if not is_allowed(request, resource_account=self._place.account, resource_policy=None):
            text = f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource}"
            raise EksError(403, "AccessDeniedException", text)

    def _resource(self, asked: Asked) -> str:
        prefix = f"arn:aws:eks:{self._place.region}:{self._place.account}:"
        if not asked.names:
            return "*"
        cluster, *inner = asked.names
        if not inner:
            return f"{prefix}cluster/{cluster}"
        if "Nodegroup" in asked.operation:
            return f"{prefix}nodegroup/{cluster}/{inner[0]}/{id_of(inner[0])}"
        if "Fargate" in asked.operation:
            return f"{prefix}fargateprofile/{cluster}/{inner[0]}/{id_of(inner[0])}"
        return prefix + _entry_path(cluster, inner[0])

    def _update_compute(self, facts: ClusterFacts, asked: Asked) -> Json:
        given = asked.body.get("computeConfig")
        if given is None:
            raise EksError(400, "InvalidParameterException", "The sandbox updates nothing but computeConfig")
        self._nodes.set_compute(given)
        return {"update": {"id": id_of(facts.name), "status": "Successful", "type": "AutoModeUpdate", "errors": []}}

    def _create_nodes(self, kind: Kind, asked: Asked) -> Json:
        name, role = str(asked.body.get(f"{kind}Name", "")), str(asked.body.get(ROLE_MEMBERS[kind], ""))
        if self._nodes.find(kind, name):
            text = f"{kind} already exists with name {name} and cluster name {asked.names[0]}"
            raise EksError(409, "ResourceInUseException", text, clusterName=asked.names[0])
        self._nodes.create(kind, name, role)
        return {kind: self._nodes.find(kind, name)}

    def _delete_nodes(self, kind: Kind, asked: Asked) -> Json:
        answer = self._one_of_nodes(kind, asked)
        self._nodes.delete(kind, asked.names[1])
        return answer

    def _one_of_nodes(self, kind: Kind, asked: Asked) -> Json:
        described = self._nodes.find(kind, asked.names[1])
        if described is None:
            text = f"No {kind} found with name: {asked.names[1]}."
            raise not_found(text, **{"clusterName": asked.names[0], f"{kind}Name": asked.names[1]})
        return {kind: described}

    def _list_entries(self, _: ClusterFacts, asked: Asked) -> Json:
        wanted = asked.query.get("associatedPolicyArn")
        entries = [
            one
            for one in self._entries.principals()
            if wanted is None or wanted in (self._entries.find(one) or {"policies": {}})["policies"]
        ]
        return page("accessEntries", entries, asked)

    def _create_entry(self, facts: ClusterFacts, asked: Asked) -> Json:
        principal, body = str(asked.body.get("principalArn", "")), asked.body
        if ":role/" not in principal and ":user/" not in principal:
            raise EksError(400, "InvalidParameterException", "The specified principalArn is invalid: invalid principal")
        if self._entries.find(principal):
            text = "The specified access entry resource is already in use on this cluster."
            raise EksError(409, "ResourceInUseException", text, clusterName=facts.name)
        entry = self._entries.create(
            principal,
            username=body.get("username"),
            groups=body.get("kubernetesGroups") or (),
            tags=body.get("tags") or {},
        )
        return {"accessEntry": _shown(facts, entry)}

    def _delete_entry(self, _: ClusterFacts, asked: Asked) -> Json:
        self._entries.delete(self._entry(asked)["principal"])
        return {}

    def _list_policies(self, facts: ClusterFacts, asked: Asked) -> Json:
        entry = self._entry(asked)
        listed = page("associatedAccessPolicies", sorted(entry["policies"]), asked)
        shown = [_associated(arn, entry["policies"][arn]) for arn in listed["associatedAccessPolicies"]]
        named = {"clusterName": facts.name, "principalArn": entry["principal"]}
        return named | listed | {"associatedAccessPolicies": shown}

    def _associate(self, facts: ClusterFacts, asked: Asked) -> Json:
        entry, arn = self._entry(asked), str(asked.body.get("policyArn", ""))
        scope = asked.body.get("accessScope") or {}
        if not arn.startswith(POLICY_ARN) or arn.removeprefix(POLICY_ARN) not in LEVELS:
            raise not_found(f"The policyArn parameter format is not valid or there is no such policy: {arn}")
        if scope.get("type") not in ("cluster", "namespace") or (
            (scope["type"] == "namespace") != bool(scope.get("namespaces"))
        ):
            text = "The accessScope must be of type cluster, or of type namespace with namespaces"
            raise EksError(400, "InvalidParameterException", text)
        kept = {"type": scope["type"], "namespaces": list(scope.get("namespaces") or ())}
        associated = self._entries.associate(entry, arn, kept)
        named = {"clusterName": facts.name, "principalArn": entry["principal"]}
        return named | {"associatedAccessPolicy": _associated(arn, associated)}

    def _dissociate(self, _: ClusterFacts, asked: Asked) -> Json:
        entry, arn = self._entry(asked), asked.names[2]
        if arn not in entry["policies"]:
            raise not_found(f"The access policy {arn} is not associated with the access entry.")
        self._entries.dissociate(entry, arn)
        return {}

    def _entry(self, asked: Asked) -> Entry:
        entry = self._entries.find(asked.names[1])
        if entry is None:
            raise not_found(
                f"The specified principalArn could not be found. You can view your available access entries with "
                f"'list-access-entries'. (principalArn: {asked.names[1]})"
            )
        return entry


def _shown(facts: ClusterFacts, entry: Entry) -> Json:
    return {
        "clusterName": facts.name,
        "principalArn": entry["principal"],
        "kubernetesGroups": entry["groups"],
        "accessEntryArn": f"{facts.arn.partition(':cluster/')[0]}:{_entry_path(facts.name, entry['principal'])}",
        "createdAt": entry["created"],
        "modifiedAt": entry["created"],
        "tags": entry["tags"],
        "username": entry["username"],
        "type": "STANDARD",
    }


def _associated(arn: str, associated: Json) -> Json:
    times = {"associatedAt": associated["associated"], "modifiedAt": associated["associated"]}
    return {"policyArn": arn, "accessScope": associated["scope"], **times}


def _entry_path(cluster: str, principal: str) -> str:
    # What is asked for need not be an ARN.
    front, _, resource = principal.rpartition(":")
    kind, _, name = resource.partition("/")
    account = front.rpartition(":")[2]
    return f"access-entry/{cluster}/{kind}/{account}/{name}/{id_of(principal)}"
