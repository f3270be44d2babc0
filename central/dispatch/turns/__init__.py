"""What pilots say and are told: asks, beats, reports and assignments."""
