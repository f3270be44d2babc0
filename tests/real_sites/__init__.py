"""Four real sites on this machine, jobs for them, and what may happen to them meanwhile.

The acceptance test of sites runs on them, and `make demo SITES=real` shows them to a person. Only
from a checkout: what starts the services is the tests' own.
"""
