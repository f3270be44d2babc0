"""What the pilot decides: no input or output, no clock, no chance."""
