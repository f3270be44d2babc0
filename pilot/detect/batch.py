"""Which batch system has started us, and as which job."""

from collections.abc import Mapping

_SYSTEMS = (
    ("slurm", ("SLURM_JOB_ID",)),
    ("lsf", ("LSB_JOBID",)),
    ("pbs", ("PBS_JOBID",)),
    ("sge", ("SGE_CELL", "JOB_ID")),
)


def batch_system(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the batch system and our job's id there, both empty on a plain machine."""
    for system, names in _SYSTEMS:
        if all(environ.get(name) for name in names):
            return system, environ[names[-1]]
    if environ.get("_CONDOR_JOB_AD"):
        return "htcondor", environ.get("PILOTAGE_BATCH_ID", "")
    return "", ""
