"""The main checks of the Pod Security Standards `baseline` and `restricted`, in the words of the real ones.

Source: k8s.io/pod-security-admission/policy.
"""

from collections.abc import Callable, Iterable

from sandbox.kube.store import Object

_BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_PROFILES = ("RuntimeDefault", "Localhost")


def violations(spec: Object, level: str) -> list[str]:
    """What a pod's spec does that the level forbids; nothing for `privileged` or an unknown level."""
    checks = {"baseline": _BASELINE, "restricted": (*_BASELINE, *_RESTRICTED)}.get(level, ())
    return [violation for check in checks if (violation := check(spec))]


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _context(container: Object) -> Object:
    return container.get("securityContext") or {}


def _named(containers: Iterable[Object]) -> str:
    names = [f'"{one["name"]}"' for one in containers]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _added(container: Object) -> list[str]:
    return list((_context(container).get("capabilities") or {}).get("add") or ())


def _host_namespaces(spec: Object) -> str | None:
    named = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return f"host namespaces ({', '.join(named)})" if named else None


def _privileged(spec: Object) -> str | None:
    bad = [one for one in _containers(spec) if _context(one).get("privileged")]
    return f"privileged ({_named(bad)} must not set securityContext.privileged=true)" if bad else None


def _capabilities(spec: Object) -> str | None:
    bad = [one for one in _containers(spec) if set(_added(one)) - _BASELINE_CAPABILITIES]
    extra = sorted({f'"{name}"' for one in bad for name in _added(one) if name not in _BASELINE_CAPABILITIES})
    if not bad:
        return None
    text = f"must not include {', '.join(extra)} in securityContext.capabilities.add"
    return f"non-default capabilities ({_named(bad)} {text})"


def _host_paths(spec: Object) -> str | None:
    bad = [f'"{one["name"]}"' for one in spec.get("volumes") or () if one.get("hostPath")]
    return f"hostPath volumes (volume{'s' if len(bad) > 1 else ''} {', '.join(bad)})" if bad else None


def _host_ports(spec: Object) -> str | None:
    bad = [one for one in _containers(spec) if any(port.get("hostPort") for port in one.get("ports") or ())]
    ports = sorted({str(port["hostPort"]) for one in bad for port in one["ports"] if port.get("hostPort")})
    return f"hostPort ({_named(bad)} uses hostPort{'s' if len(ports) > 1 else ''} {', '.join(ports)})" if bad else None


def _escalation(spec: Object) -> str | None:
    bad = [one for one in _containers(spec) if _context(one).get("allowPrivilegeEscalation") is not False]
    text = f"allowPrivilegeEscalation != false ({_named(bad)} must set securityContext.allowPrivilegeEscalation=false)"
    return text if bad else None


def _dropped(spec: Object) -> str | None:
    bad = [
        one
        for one in _containers(spec)
        if "ALL" not in ((_context(one).get("capabilities") or {}).get("drop") or ())
        or set(_added(one)) - {"NET_BIND_SERVICE"}
    ]
    return (
        f'unrestricted capabilities ({_named(bad)} must set securityContext.capabilities.drop=["ALL"])' if bad else None
    )


def _non_root(spec: Object) -> str | None:
    of_pod = _context(spec).get("runAsNonRoot")
    bad = [one for one in _containers(spec) if _context(one).get("runAsNonRoot", of_pod) is not True]
    return f"runAsNonRoot != true (pod or {_named(bad)} must set securityContext.runAsNonRoot=true)" if bad else None


def _root_user(spec: Object) -> str | None:
    bad = [one for one in _containers(spec) if _context(one).get("runAsUser") == 0]
    if _context(spec).get("runAsUser") == 0:
        return "runAsUser=0 (pod must not set runAsUser=0)"
    return f"runAsUser=0 ({_named(bad)} must not set runAsUser=0)" if bad else None


def _seccomp(spec: Object) -> str | None:
    of_pod = (_context(spec).get("seccompProfile") or {}).get("type")
    bad = [
        one
        for one in _containers(spec)
        if (_context(one).get("seccompProfile") or {}).get("type", of_pod) not in _PROFILES
    ]
    wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {_named(bad)} must set {wanted})" if bad else None


_Check = Callable[[Object], str | None]
_BASELINE: tuple[_Check, ...] = (_host_namespaces, _privileged, _capabilities, _host_paths, _host_ports)
_RESTRICTED: tuple[_Check, ...] = (_escalation, _dropped, _non_root, _root_user, _seccomp)
