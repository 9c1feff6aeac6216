"""`keras.wrappers`: models as estimators of scikit-learn, an extra.

scikit-learn is imported when one of the names is asked for, not with Carnyx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carnyx.wrappers.estimators import SKLearnClassifier as SKLearnClassifier
    from carnyx.wrappers.estimators import SKLearnRegressor as SKLearnRegressor
    from carnyx.wrappers.estimators import SKLearnTransformer as SKLearnTransformer

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        estimators = importlib.import_module(f"{__name__}.estimators")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"keras.wrappers.{name} needs scikit-learn. Install it with "
            "`pip install 'carnyx[sklearn]'`."
        ) from error
    return getattr(estimators, name)
