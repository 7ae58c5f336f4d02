import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from troupe.rpc.v1 import frame_pb2 as _frame_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WeightsState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEIGHTS_STATE_UNSPECIFIED: _ClassVar[WeightsState]
    WEIGHTS_STATE_ABSENT: _ClassVar[WeightsState]
    WEIGHTS_STATE_WAITING: _ClassVar[WeightsState]
    WEIGHTS_STATE_FETCHING: _ClassVar[WeightsState]
    WEIGHTS_STATE_PRESENT: _ClassVar[WeightsState]
    WEIGHTS_STATE_FAILED: _ClassVar[WeightsState]
WEIGHTS_STATE_UNSPECIFIED: WeightsState
WEIGHTS_STATE_ABSENT: WeightsState
WEIGHTS_STATE_WAITING: WeightsState
WEIGHTS_STATE_FETCHING: WeightsState
WEIGHTS_STATE_PRESENT: WeightsState
WEIGHTS_STATE_FAILED: WeightsState

class PullModelRequest(_message.Message):
    __slots__ = ("source", "name", "detached")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    source: str
    name: str
    detached: bool
    def __init__(self, source: _Optional[str] = ..., name: _Optional[str] = ..., detached: _Optional[bool] = ...) -> None: ...

class PullModelResponse(_message.Message):
    __slots__ = ("job_id", "model", "progress")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    model: PulledModel
    progress: _frame_pb2.Progress
    def __init__(self, job_id: _Optional[str] = ..., model: _Optional[_Union[PulledModel, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class PulledModel(_message.Message):
    __slots__ = ("name", "source", "license", "files")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    license: str
    files: _containers.RepeatedCompositeFieldContainer[PulledFile]
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., license: _Optional[str] = ..., files: _Optional[_Iterable[_Union[PulledFile, _Mapping]]] = ...) -> None: ...

class PulledFile(_message.Message):
    __slots__ = ("path", "size", "sha256")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    path: str
    size: int
    sha256: str
    def __init__(self, path: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class Weights(_message.Message):
    __slots__ = ("name", "state", "fraction", "error", "package", "license", "source", "description", "download_bytes", "size_bytes", "sha256", "services", "eta")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DOWNLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: WeightsState
    fraction: float
    error: str
    package: str
    license: str
    source: str
    description: str
    download_bytes: int
    size_bytes: int
    sha256: str
    services: _containers.RepeatedScalarFieldContainer[str]
    eta: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[WeightsState, str]] = ..., fraction: _Optional[float] = ..., error: _Optional[str] = ..., package: _Optional[str] = ..., license: _Optional[str] = ..., source: _Optional[str] = ..., description: _Optional[str] = ..., download_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., eta: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListWeightsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWeightsResponse(_message.Message):
    __slots__ = ("weights",)
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    weights: _containers.RepeatedCompositeFieldContainer[Weights]
    def __init__(self, weights: _Optional[_Iterable[_Union[Weights, _Mapping]]] = ...) -> None: ...

class FetchWeightsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FetchWeightsResponse(_message.Message):
    __slots__ = ("weights", "progress")
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    weights: Weights
    progress: _frame_pb2.Progress
    def __init__(self, weights: _Optional[_Union[Weights, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...
