"""Load on a started central: many simulated pilots that speak the real protocol and run nothing.

Generator and central share the machine, so requests are put together from prepared bytes and
answers are read with regular expressions: what the generator takes, the central cannot have.
"""
