"""`keras.distribution`: one model on many devices.

>>> from carnyx import distribution
>>> distribution.distribution() is None
True
"""

from carnyx._costs.chips import CHIPS as CHIPS
from carnyx._costs.chips import Chip as Chip
from carnyx._costs.report import Estimate as Estimate
from carnyx.distribution.base import Distribution as Distribution
from carnyx.distribution.base import distribution as distribution
from carnyx.distribution.base import set_distribution as set_distribution
from carnyx.distribution.data_parallel import DataParallel as DataParallel
from carnyx.distribution.estimate import estimate as estimate
from carnyx.distribution.hosts import initialize as initialize
from carnyx.distribution.mesh import DeviceMesh as DeviceMesh
from carnyx.distribution.mesh import TensorLayout as TensorLayout
from carnyx.distribution.mesh import distribute_tensor as distribute_tensor
from carnyx.distribution.mesh import get_device_count as get_device_count
from carnyx.distribution.mesh import list_devices as list_devices
from carnyx.distribution.model_parallel import LayoutMap as LayoutMap
from carnyx.distribution.model_parallel import ModelParallel as ModelParallel
from carnyx.distribution.pipeline import Pipeline as Pipeline
from carnyx.distribution.pipeline_report import PipelineReport as PipelineReport
from carnyx.distribution.pipeline_report import StageReport as StageReport
