"""Data sets for examples and tests."""

from carnyx.datasets import digits as digits
from carnyx.datasets import mnist as mnist
