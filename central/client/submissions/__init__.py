"""Jobs as a program writes them, and the bodies of requests that submit them."""
