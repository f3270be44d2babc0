"""Say what a DL2 file of ctapipe holds: observations, and where each shower seems to come from.

    ctapipe_report.py MERGED.dl2.h5 REPORT.json

It reads the tables as they lie in the file: importing ctapipe would cost seconds. Needs `tables`.
"""

import json
import sys
from pathlib import Path

import tables

OBSERVATIONS = "/configuration/observation/observation_block"
TRUE = "/simulation/event/subarray/shower"
FOUND = "/dl2/event/subarray/geometry/HillasReconstructor"


def report(file: tables.File) -> dict[str, list[object]]:
    """Return observation ids and showers; directions are altitude and azimuth in degrees.

    The found direction is None where the reconstruction gave up.
    """
    found = {
        (row["obs_id"], row["event_id"]): (
            float(row["HillasReconstructor_alt"]),
            float(row["HillasReconstructor_az"]),
        )
        for row in file.get_node(FOUND)
        if row["HillasReconstructor_is_valid"]
    }
    return {
        "observations": [int(row["obs_id"]) for row in file.get_node(OBSERVATIONS)],
        "showers": [
            {
                "observation": int(row["obs_id"]),
                "energy_tev": float(row["true_energy"]),
                "true_deg": [float(row["true_alt"]), float(row["true_az"])],
                "found_deg": found.get((row["obs_id"], row["event_id"])),
            }
            for row in file.get_node(TRUE)
        ],
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with tables.open_file(sys.argv[1]) as merged:
        Path(sys.argv[2]).write_text(json.dumps(report(merged), indent=1) + "\n")
