"""`applications.vgg16`: the network, and what is done before and after it."""

from carnyx.applications import _vgg
from carnyx.applications._building import application, network
from carnyx.applications._vgg import preprocess_input as preprocess_input
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions

VGG16 = application(
    network,
    _vgg.recipe(
        16,
        (2, 2, 3, 3, 3),
        "64373286793e3c8b2b4e3219cbf3544b",
        "6d6bbae143d832006294945121d1f1fc",
    ),
)
