"""Faults of the real world, on real processes: power cuts, failing calls, kills, freezes, outages.

Each campaign has a small setting in the gate and its full one among the long tests.
"""
