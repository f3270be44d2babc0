"""What stands around a payload: its rung of isolation, its image, its software."""
