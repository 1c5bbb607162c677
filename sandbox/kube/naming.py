"""Names that the cluster makes up, in the alphabet that Kubernetes makes them up in."""

import hashlib
import json
import secrets

from sandbox.kube.store import Object

# k8s.io/apimachinery/pkg/util/rand: no vowels, so that no words come out.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_BASE = 58
"""A generated name is its base, cut to this, and five characters."""


def random_name(base: str) -> str:
    return base[:_LONGEST_BASE] + "".join(secrets.choice(_ALPHABET) for _ in range(5))


def template_hash(template: Object, collisions: int) -> str:
    """Ten characters that stand for a pod template; another collision count gives others."""
    text = json.dumps([template, collisions], sort_keys=True)
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in hashlib.sha256(text.encode()).digest()[:10])
