"""`python -m pilotage.central.cli`, for use without the command `pilotage`."""

from .main import main

main()
