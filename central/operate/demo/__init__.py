"""`pilotage demo`: a central with pilots on this machine, and a campaign for them."""
