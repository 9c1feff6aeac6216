"""Models: `Sequential`, functional `Model(inputs, outputs)`, and subclasses."""

from carnyx.models.cloning import clone_model as clone_model
from carnyx.models.functional import Functional as Functional
from carnyx.models.model import Model as Model
from carnyx.models.sequential import Sequential as Sequential
from carnyx.saving import load_model as load_model
from carnyx.saving import model_from_json as model_from_json
from carnyx.saving import save_model as save_model

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]
