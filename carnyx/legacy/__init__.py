"""`keras.legacy`: how Keras 2 wrote objects down."""

from carnyx.legacy import saving as saving
