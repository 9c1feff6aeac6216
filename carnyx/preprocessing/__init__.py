"""`keras.preprocessing`: the older home of helpers that are in `keras.utils` now."""

from carnyx.preprocessing import image as image
from carnyx.preprocessing import sequence as sequence
from carnyx.utils import image_dataset_from_directory as image_dataset_from_directory
from carnyx.utils import text_dataset_from_directory as text_dataset_from_directory
from carnyx.utils import timeseries_dataset_from_array as timeseries_dataset_from_array

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]
