"""`keras.layers`: the index; second names that Keras has are at the end.

What a file makes public stands in its `__all__`.
"""
# ruff: noqa: F403, F405

from carnyx.layers.activation import *
from carnyx.layers.attention import *
from carnyx.layers.base import *
from carnyx.layers.conv import *
from carnyx.layers.conv_lstm import *
from carnyx.layers.core import *
from carnyx.layers.embedding import *
from carnyx.layers.flax_layer import *
from carnyx.layers.image_preprocessing import *
from carnyx.layers.input import *
from carnyx.layers.input_spec import *
from carnyx.layers.jax_layer import *
from carnyx.layers.merging import *
from carnyx.layers.multi_head_attention import *
from carnyx.layers.normalization import *
from carnyx.layers.pooling import *
from carnyx.layers.preprocessing import *
from carnyx.layers.records import *
from carnyx.layers.recurrent import *
from carnyx.layers.regularization import *
from carnyx.layers.reshaping import *
from carnyx.layers.rnn import *
from carnyx.layers.rnn_cells import *
from carnyx.layers.stacked_rnn_cells import *
from carnyx.layers.ternary import *
from carnyx.layers.wrappers import *

AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
Convolution3D = Conv3D
Convolution3DTranspose = Conv3DTranspose
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GroupQueryAttention = GroupedQueryAttention
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
