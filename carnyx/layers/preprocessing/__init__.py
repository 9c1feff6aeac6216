"""Layers that make numbers of raw data: texts, categories, features, sound."""

# ruff: noqa: F403

from carnyx.layers.preprocessing.category_encoding import *
from carnyx.layers.preprocessing.discretization import *
from carnyx.layers.preprocessing.feature_normalization import *
from carnyx.layers.preprocessing.hashing import *
from carnyx.layers.preprocessing.lookups import *
from carnyx.layers.preprocessing.spectrograms import *
from carnyx.layers.preprocessing.text_vectorization import *
