"""`pilotage doctor`: checks of an installation, and their findings."""
