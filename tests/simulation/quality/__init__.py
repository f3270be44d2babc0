"""How well the matcher schedules: weeks of load in virtual time, beside simpler ways to pick."""
