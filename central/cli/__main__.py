"""`python -m pilotage.central.cli`, where the command is not on the path."""

from .main import main

main()
