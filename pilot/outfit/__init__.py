"""The surroundings of a payload: its rung of isolation, its image, its software."""
