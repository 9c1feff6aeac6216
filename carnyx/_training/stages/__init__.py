"""Steps of models that are cut into stages, each a program on one device.

One engine for device scopes and pipelines: a batch goes through the stages in
microbatches (one, for device scopes), then loss and metrics are computed once on the
whole batch, then gradients go back, then the optimizer makes its step where the
variables live.
"""
