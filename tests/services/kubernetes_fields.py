"""The fields that the emulated Kubernetes knows, taken from the published schemas of 1.28 to 1.37.

A part of the schemas: what pilots use of them. `None` is a value, or a mapping with any keys.
"""

from typing import Any, cast

_METADATA = dict.fromkeys(("name", "labels", "annotations")) | {
    "ownerReferences": dict.fromkeys(("apiVersion", "kind", "name", "uid", "controller"))
}
_CONTAINER = {
    **dict.fromkeys(("name", "image", "command", "args", "workingDir")),
    "env": dict.fromkeys(("name", "value")),
    "resources": dict.fromkeys(("requests", "limits")),
    "securityContext": {"allowPrivilegeEscalation": None, "capabilities": {"drop": None}},
    "volumeMounts": dict.fromkeys(("name", "mountPath", "readOnly", "mountPropagation")),
}
_POD = {
    **dict.fromkeys(("restartPolicy", "terminationGracePeriodSeconds", "activeDeadlineSeconds")),
    **dict.fromkeys(("automountServiceAccountToken", "enableServiceLinks", "nodeSelector")),
    **dict.fromkeys(("serviceAccountName", "priorityClassName")),
    "securityContext": {
        **dict.fromkeys(("runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup")),
        "seccompProfile": {"type": None},
    },
    "imagePullSecrets": {"name": None},
    "tolerations": dict.fromkeys(("key", "operator", "value", "effect", "tolerationSeconds")),
    "containers": _CONTAINER,
    "volumes": {
        "name": None,
        "secret": dict.fromkeys(("secretName", "defaultMode", "items", "optional")),
        "emptyDir": dict.fromkeys(("sizeLimit", "medium")),
        "hostPath": dict.fromkeys(("path", "type")),
        "persistentVolumeClaim": dict.fromkeys(("claimName", "readOnly")),
    },
}
_OBJECT: dict[str, Any] = {"apiVersion": None, "kind": None, "metadata": _METADATA}
FIELDS: dict[str, dict[str, Any]] = {
    "Job": {
        **_OBJECT,
        "spec": {
            **dict.fromkeys(("suspend", "completions", "parallelism", "backoffLimit")),
            **dict.fromkeys(("activeDeadlineSeconds", "ttlSecondsAfterFinished")),
            "template": {"metadata": _METADATA, "spec": _POD},
        },
    },
    "Secret": {**_OBJECT, **dict.fromkeys(("immutable", "data", "stringData", "type"))},
}


def unknown_field(kind: str, given: Any) -> str:
    """Return the path of a field that an object of this kind does not have, or nothing."""
    return _unknown(FIELDS[kind], given, "")


def _unknown(known: Any, given: Any, path: str) -> str:
    if isinstance(given, list):
        many = cast(list[object], given)
        return next(filter(None, (_unknown(known, one, path) for one in many)), "")
    if known is None or not isinstance(given, dict):
        return ""
    fields = cast(dict[str, Any], given)
    for key, value in fields.items():
        here = f"{path}.{key}" if path else key
        if key not in known:
            return here
        found = _unknown(known[key], value, here)
        if found:
            return found
    return ""
