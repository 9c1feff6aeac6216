"""Models cut into stages that microbatches pass through."""
