"""Layers on images: sizes, colours, planes, mixtures; before a model or within one.

Read `base.py` and `augmentation.py` first; the other files are mathematics.
"""
# ruff: noqa: F403

from carnyx.layers.image_preprocessing.base import *
from carnyx.layers.image_preprocessing.colors import *
from carnyx.layers.image_preprocessing.crops import *
from carnyx.layers.image_preprocessing.elastic import *
from carnyx.layers.image_preprocessing.filters import *
from carnyx.layers.image_preprocessing.flips import *
from carnyx.layers.image_preprocessing.geometry import *
from carnyx.layers.image_preprocessing.histograms import *
from carnyx.layers.image_preprocessing.hues import *
from carnyx.layers.image_preprocessing.limits import *
from carnyx.layers.image_preprocessing.mixing import *
from carnyx.layers.image_preprocessing.pipeline import *
from carnyx.layers.image_preprocessing.policies import *
from carnyx.layers.image_preprocessing.rescaling import *
from carnyx.layers.image_preprocessing.resizing import *
