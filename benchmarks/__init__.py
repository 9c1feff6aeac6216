"""Step times of Carnyx beside Keras on its backends and the same step by hand."""
