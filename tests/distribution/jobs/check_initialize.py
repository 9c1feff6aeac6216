"""`initialize()` where there is nobody to join, and what it refuses."""

import os

import pytest

import carnyx as keras

initialize, errors = keras.distribution.initialize, keras.errors
for wrong in (
    {"job_addresses": "here", "num_processes": 2, "process_id": 0},
    {"job_addresses": "a:1,b:1", "num_processes": 3, "process_id": 0},
    {"job_addresses": "a:1", "num_processes": 2, "process_id": 2},
    {"job_addresses": "a:1", "num_processes": 0},
    {"num_processes": 2},
    {"num_processes": "2"},
    {"job_addresses": "4321", "num_processes": 2, "process_id": 0},
    {"job_addresses": ":4321", "num_processes": 2, "process_id": 0},
    {"job_addresses": "a:65536", "num_processes": 2, "process_id": 0},
    {"job_addresses": ["a:1", "b:1"], "process_id": 0},
):
    with pytest.raises(errors.ArgumentError, match="initialize got"):
        initialize(**wrong)
with pytest.raises(errors.ArgumentError, match="give job_addresses"):
    initialize(num_processes=2)
os.environ["CARNYX_JOB_PORT"] = "abc"
with pytest.raises(errors.ArgumentError, match="CARNYX_JOB_PORT is 'abc'"):
    initialize()
del os.environ["CARNYX_JOB_PORT"]
os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"] = "two"
with pytest.raises(errors.ArgumentError, match="NUM_PROCESSES is 'two'"):
    initialize()
del os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"]

initialize()  # a job of its own
initialize()
distribution = keras.distribution.distribution()
assert isinstance(distribution, keras.distribution.DataParallel)
assert distribution.num_model_replicas == 2
assert distribution.num_processes == 1
