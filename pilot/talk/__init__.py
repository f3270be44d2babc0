"""The messages between the pilot and the central: requests, the bus, files, logs, live output."""
