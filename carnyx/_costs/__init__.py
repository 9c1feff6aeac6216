"""What a step costs: operations and kernels of a traced program, time and memory of it
on devices that need not be here.

`distribution.estimate` is the door to the whole; programs count operations by
themselves, to decide whether steps are run together, and pipelines to cut models.
"""
