"""The recurrent layers: `RNN` over the library's own cells."""

from __future__ import annotations

from typing import Any

from carnyx.configurable import field, one_of
from carnyx.layers.rnn import RNN
from carnyx.layers.rnn_cells import GRUCell, LSTMCell, SimpleRNNCell


def _use_cudnn() -> Any:
    return field("auto", check=one_of("auto", True, False), config=False)


def _implementation() -> Any:
    """Which formula Keras 1 and 2 took for the same numbers: scripts and files say."""
    return field(None, check=one_of(0, 1, 2), config=False, kw_only=True)


class SimpleRNN(RNN, cell=SimpleRNNCell):
    """`RNN` over `SimpleRNNCell`: h = activation(x W + h U + b).

    Shapes: (batch, time, features) -> (batch, units), or (batch, time, units)

    References: Elman 1990, doi:10.1207/s15516709cog1402_1

    >>> import numpy as np
    >>> SimpleRNN(4, return_sequences=True)(np.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    seed: Any = field(None, config=False)


class LSTM(RNN, cell=LSTMCell):
    """`RNN` over `LSTMCell`, by one fused kernel where the arguments allow it.

    Shapes: (batch, time, features) -> (batch, units), or (batch, time, units)

    Args:
        use_cudnn: "auto" takes the fused kernel where it computes the same as the
            cell; True insists on it; False runs the cell step by step.

    References: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735

    >>> import numpy as np
    >>> output, h, c = LSTM(4, return_state=True)(np.ones((2, 5, 3)))
    >>> output.shape, bool((output == h).all()), c.shape
    ((2, 4), True, (2, 4))
    """

    use_cudnn: Any = _use_cudnn()
    implementation: Any = _implementation()


class GRU(RNN, cell=GRUCell):
    """`RNN` over `GRUCell`, by one fused kernel where the arguments allow it.

    Shapes: (batch, time, features) -> (batch, units), or (batch, time, units)

    Args:
        use_cudnn: as for `LSTM`.

    References: Cho et al. 2014, arXiv:1406.1078

    >>> import numpy as np
    >>> GRU(4)(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    reset_after: bool = field(True)
    use_cudnn: Any = _use_cudnn()
    implementation: Any = _implementation()


__all__ = ["GRU", "LSTM", "SimpleRNN"]
