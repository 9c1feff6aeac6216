"""`keras.applications`: networks for images, with weights trained on ImageNet."""

from carnyx.applications import convnext as convnext
from carnyx.applications import densenet as densenet
from carnyx.applications import imagenet_utils as imagenet_utils
from carnyx.applications import inception_resnet_v2 as inception_resnet_v2
from carnyx.applications import inception_v3 as inception_v3
from carnyx.applications import mobilenet as mobilenet
from carnyx.applications import mobilenet_v2 as mobilenet_v2
from carnyx.applications import nasnet as nasnet
from carnyx.applications import resnet as resnet
from carnyx.applications import resnet50 as resnet50
from carnyx.applications import resnet_v2 as resnet_v2
from carnyx.applications import vgg16 as vgg16
from carnyx.applications import vgg19 as vgg19
from carnyx.applications import xception as xception
from carnyx.applications.convnext import ConvNeXtBase as ConvNeXtBase
from carnyx.applications.convnext import ConvNeXtLarge as ConvNeXtLarge
from carnyx.applications.convnext import ConvNeXtSmall as ConvNeXtSmall
from carnyx.applications.convnext import ConvNeXtTiny as ConvNeXtTiny
from carnyx.applications.convnext import ConvNeXtXLarge as ConvNeXtXLarge
from carnyx.applications.densenet import DenseNet121 as DenseNet121
from carnyx.applications.densenet import DenseNet169 as DenseNet169
from carnyx.applications.densenet import DenseNet201 as DenseNet201
from carnyx.applications.inception_resnet_v2 import (
    InceptionResNetV2 as InceptionResNetV2,
)
from carnyx.applications.inception_v3 import InceptionV3 as InceptionV3
from carnyx.applications.mobilenet import MobileNet as MobileNet
from carnyx.applications.mobilenet_v2 import MobileNetV2 as MobileNetV2
from carnyx.applications.nasnet import NASNetLarge as NASNetLarge
from carnyx.applications.nasnet import NASNetMobile as NASNetMobile
from carnyx.applications.resnet import ResNet50 as ResNet50
from carnyx.applications.resnet import ResNet101 as ResNet101
from carnyx.applications.resnet import ResNet152 as ResNet152
from carnyx.applications.resnet_v2 import ResNet50V2 as ResNet50V2
from carnyx.applications.resnet_v2 import ResNet101V2 as ResNet101V2
from carnyx.applications.resnet_v2 import ResNet152V2 as ResNet152V2
from carnyx.applications.vgg16 import VGG16 as VGG16
from carnyx.applications.vgg19 import VGG19 as VGG19
from carnyx.applications.xception import Xception as Xception
