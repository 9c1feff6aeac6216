"""Pictures of models: `plot_model` and `model_to_dot`.

`boxes` reads a model, `layout` places the boxes, `svg` and `png` draw them; `dot`
writes them for Graphviz, which draws better where it is installed.
"""

from carnyx.utils.diagrams.plot import model_to_dot as model_to_dot
from carnyx.utils.diagrams.plot import plot_model as plot_model

__all__ = ["model_to_dot", "plot_model"]
