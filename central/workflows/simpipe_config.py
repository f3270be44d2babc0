"""Reads SimPipe's configuration, which the step of a CTADIRAC file names. Pure.

Its keys are those of CTADIRAC's SimPipeJob; simtools reads the others. With `job_grid_file`, each
job takes the row of its number, and simtools tells the metadata of its files.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from .source_lines import is_list

SITES: Final = {"North": "LaPalma", "South": "Paranal"}
AZIMUTHS: Final = {"north": 0.0, "south": 180.0, "east": 90.0, "west": 270.0}
OF_STEP: Final = ("run_number", "run_number_offset")
ZENITH_ANGLE_DEG: Final = 20.0


class BadSimPipeConfig(ValueError):
    """A key has a wrong value, or is missing."""


def values_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values for the keys of a SimPipe step. Raises BadSimPipeConfig."""
    if "job_grid_file" in config:
        return {**_common(config, config), "job_grid": True, "model_version": []}
    lower = {key.lower(): value for key, value in config.items()}
    for key in OF_STEP:
        if key in lower:
            raise BadSimPipeConfig(f"{key} belongs into the step, found {lower[key]!r} here")
    site = _needed(lower, "site")
    if site not in SITES:
        raise BadSimPipeConfig(f"site: expected North or South, found {site!r}")
    layout, models = str(_needed(lower, "array_layout_name")), _needed(lower, "model_version")
    each: list[Any] = models if is_list(models) else [models]
    found = {
        **_common(config, lower),
        "array_layout": layout,
        "site": SITES[site],
        "phiP": round((_azimuth_deg(_needed(lower, "azimuth_angle")) + 180) % 360, 2),
        "thetaP": _number(lower.get("zenith_angle", ZENITH_ANGLE_DEG), "zenith_angle"),
        "sct": "True" if "_scts" in layout else "False",
        "model_version": [str(one) for one in each],
        "only_corsika": lower.get("simulation_software") == "corsika",
        "settings": json.dumps(lower),
    }
    if "primary" in lower:
        found["particle"] = str(lower["primary"]).lower()
    return found


def _common(config: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "folder": str(_needed(lower, "grid_output_path")),
        "settings": json.dumps(config, default=str),
    }


def _needed(config: Mapping[str, Any], key: str) -> Any:
    if config.get(key) in (None, ""):
        raise BadSimPipeConfig(f"the key `{key}` is missing")
    return config[key]


def _azimuth_deg(value: Any) -> float:
    if isinstance(value, str) and value.lower() in AZIMUTHS:
        return AZIMUTHS[value.lower()]
    return _number(value, "azimuth_angle", f" or one of {', '.join(AZIMUTHS)}")


def _number(value: Any, key: str, more: str = "") -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadSimPipeConfig(f"{key}: expected degrees{more}, found {value!r}") from None
