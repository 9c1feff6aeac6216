"""Steps of models that are cut into stages, each a program on one device.

One engine for device scopes and pipelines: a batch goes through the stages in
microbatches (one, for device scopes), then loss and metrics are computed once on the
whole batch, then gradients go back, then the optimizer makes its step where the
variables live. In the order in which the files build on each other:

- `partition`: a graph as parts that each run on one device; models inside taken apart.
- `traced`: functions compiled for one device, and what else their traces read.
- `stage`, on `traced`: a part as a function, forward and backward.
- `executor`: the way of microbatches through stages, and back.
- `loss_stage`, on `traced`: loss, metrics, and the gradients that go back.
- `optimizer_step`, on `split_program`: any traced function, split over devices.
- `programs`: these as a step; `whole_step`: steps that a class writes itself.
- `placements`: which device keeps a variable; `plan`: which pipeline a model becomes.
"""
