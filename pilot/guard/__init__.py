"""The guard: the process that starts payloads, watches them, and outlives its pilot."""
