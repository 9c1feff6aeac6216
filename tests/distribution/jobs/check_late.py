"""`initialize()` when something was computed before."""

import pytest

import carnyx as keras

keras.ops.ones(1)
with pytest.raises(keras.errors.DeviceError, match="Call it first"):
    keras.distribution.initialize("127.0.0.1:9", 2, 0)
