"""The administrator of the sandbox's cluster: another one than wharfinger, for what others do there."""

import base64
import ssl

import httpx
import yaml

from sandbox.server import Sandbox


def administrator(aws: Sandbox) -> httpx.AsyncClient:
    """A client of the Kubernetes API with every right."""
    document = yaml.safe_load(aws.kubeconfig())
    authority = base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    headers = {"Authorization": f"Bearer {document['users'][0]['user']['token']}"}
    context = ssl.create_default_context(cadata=authority)
    return httpx.AsyncClient(base_url=aws.kube_endpoint(), verify=context, headers=headers, trust_env=False)
