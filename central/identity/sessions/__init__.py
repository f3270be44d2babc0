"""Sessions of people who logged in: their rows, renewals, confirmations and ends."""
