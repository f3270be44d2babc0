"""The real Slurm of the tests, which the benches start as well."""

from pilotage.central.bench.slurm import Slurm, missing

__all__ = ["Slurm", "missing"]
