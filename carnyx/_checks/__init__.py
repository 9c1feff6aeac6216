"""What goes wrong in training without an error: looked for early, said once.

What a traced step shows (`watching`) says which loss meets which output and which
input is an index; the first batches are then judged on the host (`first_batches`). A
loss that is not finite is followed back by steps made once more (`not_finite`).
`CARNYX_FLAGS=checks=off`, or `config.set_checks(False)`, turns all of it off.
"""
