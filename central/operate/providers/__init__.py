"""Identity providers as a process reaches them: their files, secrets and connections."""
