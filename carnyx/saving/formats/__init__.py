"""One file a format: `read(path)` gives a description, `write` takes one."""
