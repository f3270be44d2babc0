"""The view of a production for users who may not read the outputs of its jobs. Pure."""

from typing import Any

import msgspec

from pilotage.proto.api.productions import ProductionDetail

from ..jobs.restricted_view import sealed_file, sealed_job


def sealed(detail: ProductionDetail) -> ProductionDetail:
    """Return the detail for such a reader: like that of jobs, without hashes and secrets.

    Variables may be set from a parameter or the value of a port, and the workflow's file has both:
    so neither is shown. The rules are a user's text as well.
    """
    workflow = dict(detail.workflow)
    if "parameters" in workflow:
        workflow["parameters"] = {
            name: {word: said for word, said in one.items() if word != "value"}
            for name, one in workflow["parameters"].items()
        }
    workflow["steps"] = {name: _step(one) for name, one in workflow["steps"].items()}
    return msgspec.structs.replace(
        detail,
        workflow=workflow,
        files={path: sealed_file(one) for path, one in detail.files.items()},
        written={**detail.written, "text": ""},
        rules="",
        sealed=True,
    )


def _step(step: dict[str, Any]) -> dict[str, Any]:
    found = {**step, "job": sealed_job(step["job"])}
    if "inputs" in step:
        found["inputs"] = {
            port: {**one, "value": None} if "value" in one else one
            for port, one in step["inputs"].items()
        }
    return found
