"""Models whose layers lie on several devices, run as stages."""
