"""`keras.layers`: the index; second names that Keras has are at the end."""

from carnyx.layers.activation import ELU as ELU
from carnyx.layers.activation import Activation as Activation
from carnyx.layers.activation import LeakyReLU as LeakyReLU
from carnyx.layers.activation import PReLU as PReLU
from carnyx.layers.activation import ReLU as ReLU
from carnyx.layers.activation import Softmax as Softmax
from carnyx.layers.attention import AdditiveAttention as AdditiveAttention
from carnyx.layers.attention import Attention as Attention
from carnyx.layers.attention import GroupedQueryAttention as GroupedQueryAttention
from carnyx.layers.attention import MultiHeadAttention as MultiHeadAttention
from carnyx.layers.base import Layer as Layer
from carnyx.layers.conv import Conv1D as Conv1D
from carnyx.layers.conv import Conv1DTranspose as Conv1DTranspose
from carnyx.layers.conv import Conv2D as Conv2D
from carnyx.layers.conv import Conv2DTranspose as Conv2DTranspose
from carnyx.layers.conv import Conv3D as Conv3D
from carnyx.layers.conv import Conv3DTranspose as Conv3DTranspose
from carnyx.layers.conv import DepthwiseConv1D as DepthwiseConv1D
from carnyx.layers.conv import DepthwiseConv2D as DepthwiseConv2D
from carnyx.layers.conv import SeparableConv1D as SeparableConv1D
from carnyx.layers.conv import SeparableConv2D as SeparableConv2D
from carnyx.layers.conv_lstm import ConvLSTM1D as ConvLSTM1D
from carnyx.layers.conv_lstm import ConvLSTM2D as ConvLSTM2D
from carnyx.layers.conv_lstm import ConvLSTM3D as ConvLSTM3D
from carnyx.layers.core import Dense as Dense
from carnyx.layers.core import EinsumDense as EinsumDense
from carnyx.layers.core import Identity as Identity
from carnyx.layers.core import Lambda as Lambda
from carnyx.layers.core import Masking as Masking
from carnyx.layers.core import Wrapper as Wrapper
from carnyx.layers.embedding import Embedding as Embedding
from carnyx.layers.input import Input as Input
from carnyx.layers.input import InputLayer as InputLayer
from carnyx.layers.input_spec import InputSpec as InputSpec
from carnyx.layers.merging import Add as Add
from carnyx.layers.merging import Average as Average
from carnyx.layers.merging import Concatenate as Concatenate
from carnyx.layers.merging import Dot as Dot
from carnyx.layers.merging import Maximum as Maximum
from carnyx.layers.merging import Minimum as Minimum
from carnyx.layers.merging import Multiply as Multiply
from carnyx.layers.merging import Subtract as Subtract
from carnyx.layers.merging import add as add
from carnyx.layers.merging import average as average
from carnyx.layers.merging import concatenate as concatenate
from carnyx.layers.merging import dot as dot
from carnyx.layers.merging import maximum as maximum
from carnyx.layers.merging import minimum as minimum
from carnyx.layers.merging import multiply as multiply
from carnyx.layers.merging import subtract as subtract
from carnyx.layers.normalization import BatchNormalization as BatchNormalization
from carnyx.layers.normalization import GroupNormalization as GroupNormalization
from carnyx.layers.normalization import LayerNormalization as LayerNormalization
from carnyx.layers.normalization import RMSNormalization as RMSNormalization
from carnyx.layers.normalization import SpectralNormalization as SpectralNormalization
from carnyx.layers.normalization import UnitNormalization as UnitNormalization
from carnyx.layers.pooling import AdaptiveAveragePooling1D as AdaptiveAveragePooling1D
from carnyx.layers.pooling import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
from carnyx.layers.pooling import AdaptiveAveragePooling3D as AdaptiveAveragePooling3D
from carnyx.layers.pooling import AdaptiveMaxPooling1D as AdaptiveMaxPooling1D
from carnyx.layers.pooling import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
from carnyx.layers.pooling import AdaptiveMaxPooling3D as AdaptiveMaxPooling3D
from carnyx.layers.pooling import AveragePooling1D as AveragePooling1D
from carnyx.layers.pooling import AveragePooling2D as AveragePooling2D
from carnyx.layers.pooling import AveragePooling3D as AveragePooling3D
from carnyx.layers.pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
from carnyx.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
from carnyx.layers.pooling import GlobalAveragePooling3D as GlobalAveragePooling3D
from carnyx.layers.pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
from carnyx.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
from carnyx.layers.pooling import GlobalMaxPooling3D as GlobalMaxPooling3D
from carnyx.layers.pooling import MaxPooling1D as MaxPooling1D
from carnyx.layers.pooling import MaxPooling2D as MaxPooling2D
from carnyx.layers.pooling import MaxPooling3D as MaxPooling3D
from carnyx.layers.records import deserialize as deserialize
from carnyx.layers.records import serialize as serialize
from carnyx.layers.recurrent import GRU as GRU
from carnyx.layers.recurrent import LSTM as LSTM
from carnyx.layers.recurrent import RNN as RNN
from carnyx.layers.recurrent import SimpleRNN as SimpleRNN
from carnyx.layers.regularization import (
    ActivityRegularization as ActivityRegularization,
)
from carnyx.layers.regularization import AlphaDropout as AlphaDropout
from carnyx.layers.regularization import Dropout as Dropout
from carnyx.layers.regularization import GaussianDropout as GaussianDropout
from carnyx.layers.regularization import GaussianNoise as GaussianNoise
from carnyx.layers.regularization import SpatialDropout1D as SpatialDropout1D
from carnyx.layers.regularization import SpatialDropout2D as SpatialDropout2D
from carnyx.layers.regularization import SpatialDropout3D as SpatialDropout3D
from carnyx.layers.reshaping import Cropping1D as Cropping1D
from carnyx.layers.reshaping import Cropping2D as Cropping2D
from carnyx.layers.reshaping import Cropping3D as Cropping3D
from carnyx.layers.reshaping import Flatten as Flatten
from carnyx.layers.reshaping import Permute as Permute
from carnyx.layers.reshaping import RepeatVector as RepeatVector
from carnyx.layers.reshaping import Reshape as Reshape
from carnyx.layers.reshaping import UpSampling1D as UpSampling1D
from carnyx.layers.reshaping import UpSampling2D as UpSampling2D
from carnyx.layers.reshaping import UpSampling3D as UpSampling3D
from carnyx.layers.reshaping import ZeroPadding1D as ZeroPadding1D
from carnyx.layers.reshaping import ZeroPadding2D as ZeroPadding2D
from carnyx.layers.reshaping import ZeroPadding3D as ZeroPadding3D
from carnyx.layers.rnn_cells import GRUCell as GRUCell
from carnyx.layers.rnn_cells import LSTMCell as LSTMCell
from carnyx.layers.rnn_cells import SimpleRNNCell as SimpleRNNCell
from carnyx.layers.rnn_cells import StackedRNNCells as StackedRNNCells
from carnyx.layers.wrappers import Bidirectional as Bidirectional
from carnyx.layers.wrappers import TimeDistributed as TimeDistributed

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
