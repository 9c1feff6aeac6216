"""Training: what a step computes, how it is run, and the loop around it."""
