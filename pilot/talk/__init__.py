"""What passes between the pilot and the central: requests, the bus, logs, live output."""
