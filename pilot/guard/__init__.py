"""The guard: a process that starts and watches payloads, and outlives its pilot."""
