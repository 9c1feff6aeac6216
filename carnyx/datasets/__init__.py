"""Data sets for examples and tests."""

from carnyx.datasets import boston_housing as boston_housing
from carnyx.datasets import california_housing as california_housing
from carnyx.datasets import cifar10 as cifar10
from carnyx.datasets import cifar100 as cifar100
from carnyx.datasets import digits as digits
from carnyx.datasets import fashion_mnist as fashion_mnist
from carnyx.datasets import imdb as imdb
from carnyx.datasets import mnist as mnist
from carnyx.datasets import reuters as reuters
