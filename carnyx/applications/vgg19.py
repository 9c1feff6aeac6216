"""`applications.vgg19`: the network, and what is done before and after it."""

from carnyx.applications import _vgg
from carnyx.applications._building import application, network
from carnyx.applications._vgg import preprocess_input as preprocess_input
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions

VGG19 = application(
    network,
    _vgg.recipe(
        19,
        (2, 2, 4, 4, 4),
        "cbe5617147190e668d6c5d5026f83318",
        "253f8cb515780f3b799900260a226db6",
    ),
)
