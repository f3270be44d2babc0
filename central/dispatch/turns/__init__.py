"""The messages of pilots and their answers: asks, beats, reports and assignments."""
