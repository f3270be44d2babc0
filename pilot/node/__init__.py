"""The node: what was found and declared about it, and its benchmark."""
