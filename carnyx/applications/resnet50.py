"""`applications.resnet50`: the older name of the module of `ResNet50`."""

from carnyx.applications.resnet import ResNet50 as ResNet50
from carnyx.applications.resnet import decode_predictions as decode_predictions
from carnyx.applications.resnet import preprocess_input as preprocess_input
