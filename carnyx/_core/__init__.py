"""The machine room: variables, the state scope, symbolic tensors, the graph."""
