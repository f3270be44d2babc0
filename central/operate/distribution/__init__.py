"""Files that a central hands out: the pilot bundle and the wheel of the client."""
