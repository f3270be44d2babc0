"""What a node has: one file a capability, each a function of what surrounds the pilot.

Nothing here raises on what a node says, however broken it is: what cannot be read is not known.
"""
