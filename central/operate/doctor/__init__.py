"""`pilotage doctor`: checks of an installation and what they find."""
