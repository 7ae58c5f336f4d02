import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from troupe.gpu.v1 import gpu_service_pb2 as _gpu_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaseRecord(_message.Message):
    __slots__ = ("work", "shares", "process", "holder", "started", "loaded", "granted")
    WORK_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    work: _gpu_service_pb2.Work
    shares: _containers.RepeatedCompositeFieldContainer[_gpu_service_pb2.Share]
    process: str
    holder: _gpu_service_pb2.Holder
    started: int
    loaded: bool
    granted: _timestamp_pb2.Timestamp
    def __init__(self, work: _Optional[_Union[_gpu_service_pb2.Work, _Mapping]] = ..., shares: _Optional[_Iterable[_Union[_gpu_service_pb2.Share, _Mapping]]] = ..., process: _Optional[str] = ..., holder: _Optional[_Union[_gpu_service_pb2.Holder, _Mapping]] = ..., started: _Optional[int] = ..., loaded: _Optional[bool] = ..., granted: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MeasuredRecord(_message.Message):
    __slots__ = ("key", "sizes", "measured", "times")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    key: str
    sizes: _containers.RepeatedCompositeFieldContainer[_gpu_service_pb2.Size]
    measured: _timestamp_pb2.Timestamp
    times: int
    def __init__(self, key: _Optional[str] = ..., sizes: _Optional[_Iterable[_Union[_gpu_service_pb2.Size, _Mapping]]] = ..., measured: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., times: _Optional[int] = ...) -> None: ...
