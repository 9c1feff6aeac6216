"""Feeds: where batches come from, in which order, and at which position."""

from carnyx._data.adapters import adapt as adapt
from carnyx._data.arrays import ArrayFeed as ArrayFeed
from carnyx._data.arrays import train_validation_split as train_validation_split
from carnyx._data.batches import three_parts as three_parts
from carnyx._data.checks import described as described
from carnyx._data.checks import explain_loss as explain_loss
from carnyx._data.checks import naming as naming
from carnyx._data.checks import tell_of_waiting as tell_of_waiting
from carnyx._data.dataset import Dataset as Dataset
from carnyx._data.feed import Feed as Feed
from carnyx._data.prefetching import prefetch as prefetch
from carnyx._data.py_dataset import PyDataset as PyDataset
from carnyx._data.sequences import SequenceFeed as SequenceFeed
from carnyx._data.streams import StreamFeed as StreamFeed
from carnyx._data.texts import adapt_texts as adapt_texts
from carnyx._data.texts import with_text_rows as with_text_rows
