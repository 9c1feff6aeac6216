"""The one place of the version."""

__version__ = "0.1.0"


def version() -> str:
    """The version of Carnyx."""
    return __version__
