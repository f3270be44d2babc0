"""Detection of a node: one file for each capability, each a function of the pilot's surroundings.

Nothing here raises errors about a broken node: a value that cannot be read is unknown.
"""
