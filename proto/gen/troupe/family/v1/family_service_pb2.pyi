import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from troupe.model.v1 import model_service_pb2 as _model_service_pb2
from troupe.rpc.v1 import frame_pb2 as _frame_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TryModelRequest(_message.Message):
    __slots__ = ("model", "within")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    model: str
    within: _duration_pb2.Duration
    def __init__(self, model: _Optional[str] = ..., within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TryModelResponse(_message.Message):
    __slots__ = ("busy", "latency", "error")
    BUSY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    busy: bool
    latency: _duration_pb2.Duration
    error: str
    def __init__(self, busy: _Optional[bool] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class Needs(_message.Message):
    __slots__ = ("weights_bytes", "cache_bytes", "working_bytes", "accelerator", "state_bytes", "process_bytes", "later_bytes", "ways", "key", "layer_bytes", "engine", "device", "context_tokens", "slots", "trained_context_tokens")
    WEIGHTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKING_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_BYTES_FIELD_NUMBER: _ClassVar[int]
    LATER_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAYS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LAYER_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    TRAINED_CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    weights_bytes: int
    cache_bytes: int
    working_bytes: int
    accelerator: bool
    state_bytes: int
    process_bytes: int
    later_bytes: int
    ways: _containers.RepeatedCompositeFieldContainer[Way]
    key: str
    layer_bytes: _containers.RepeatedScalarFieldContainer[int]
    engine: str
    device: str
    context_tokens: int
    slots: int
    trained_context_tokens: int
    def __init__(self, weights_bytes: _Optional[int] = ..., cache_bytes: _Optional[int] = ..., working_bytes: _Optional[int] = ..., accelerator: _Optional[bool] = ..., state_bytes: _Optional[int] = ..., process_bytes: _Optional[int] = ..., later_bytes: _Optional[int] = ..., ways: _Optional[_Iterable[_Union[Way, _Mapping]]] = ..., key: _Optional[str] = ..., layer_bytes: _Optional[_Iterable[int]] = ..., engine: _Optional[str] = ..., device: _Optional[str] = ..., context_tokens: _Optional[int] = ..., slots: _Optional[int] = ..., trained_context_tokens: _Optional[int] = ...) -> None: ...

class Way(_message.Message):
    __slots__ = ("accelerator_bytes", "host_bytes", "spread", "note", "another_file")
    ACCELERATOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ANOTHER_FILE_FIELD_NUMBER: _ClassVar[int]
    accelerator_bytes: int
    host_bytes: int
    spread: bool
    note: str
    another_file: bool
    def __init__(self, accelerator_bytes: _Optional[int] = ..., host_bytes: _Optional[int] = ..., spread: _Optional[bool] = ..., note: _Optional[str] = ..., another_file: _Optional[bool] = ...) -> None: ...

class Measured(_message.Message):
    __slots__ = ("process_bytes", "resident_bytes", "proportional_bytes", "reserved_bytes", "host_bytes", "accelerator_bytes", "buffers")
    PROCESS_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROPORTIONAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    process_bytes: int
    resident_bytes: int
    proportional_bytes: int
    reserved_bytes: int
    host_bytes: int
    accelerator_bytes: int
    buffers: _containers.RepeatedCompositeFieldContainer[Buffer]
    def __init__(self, process_bytes: _Optional[int] = ..., resident_bytes: _Optional[int] = ..., proportional_bytes: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., host_bytes: _Optional[int] = ..., accelerator_bytes: _Optional[int] = ..., buffers: _Optional[_Iterable[_Union[Buffer, _Mapping]]] = ...) -> None: ...

class Buffer(_message.Message):
    __slots__ = ("kind", "place", "bytes", "host")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    kind: str
    place: str
    bytes: int
    host: bool
    def __init__(self, kind: _Optional[str] = ..., place: _Optional[str] = ..., bytes: _Optional[int] = ..., host: _Optional[bool] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("family",)
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    family: str
    def __init__(self, family: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_service_pb2.Model]
    def __init__(self, models: _Optional[_Iterable[_Union[_model_service_pb2.Model, _Mapping]]] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ("family", "model")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class DescribeModelResponse(_message.Message):
    __slots__ = ("model", "needs", "measured", "replicates", "machine")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    REPLICATES_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    model: _model_service_pb2.Model
    needs: Needs
    measured: Measured
    replicates: bool
    machine: str
    def __init__(self, model: _Optional[_Union[_model_service_pb2.Model, _Mapping]] = ..., needs: _Optional[_Union[Needs, _Mapping]] = ..., measured: _Optional[_Union[Measured, _Mapping]] = ..., replicates: _Optional[bool] = ..., machine: _Optional[str] = ...) -> None: ...

class StartModelRequest(_message.Message):
    __slots__ = ("family", "model", "overrides")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    overrides: Overrides
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ..., overrides: _Optional[_Union[Overrides, _Mapping]] = ...) -> None: ...

class Overrides(_message.Message):
    __slots__ = ("context_tokens", "slots")
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    context_tokens: int
    slots: int
    def __init__(self, context_tokens: _Optional[int] = ..., slots: _Optional[int] = ...) -> None: ...

class StartModelResponse(_message.Message):
    __slots__ = ("model", "progress")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    model: _model_service_pb2.Model
    progress: _frame_pb2.Progress
    def __init__(self, model: _Optional[_Union[_model_service_pb2.Model, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class StopModelRequest(_message.Message):
    __slots__ = ("family", "model")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class StopModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveModelRequest(_message.Message):
    __slots__ = ("family", "model")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class RemoveModelResponse(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class PrepareQuantizationRequest(_message.Message):
    __slots__ = ("family", "model", "quantization", "new_name")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    quantization: str
    new_name: str
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ..., quantization: _Optional[str] = ..., new_name: _Optional[str] = ...) -> None: ...

class PrepareQuantizationResponse(_message.Message):
    __slots__ = ("lane", "quantization", "new_name", "size_bytes", "warnings")
    LANE_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    lane: str
    quantization: str
    new_name: str
    size_bytes: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lane: _Optional[str] = ..., quantization: _Optional[str] = ..., new_name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchModelsRequest(_message.Message):
    __slots__ = ("family",)
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    family: str
    def __init__(self, family: _Optional[str] = ...) -> None: ...

class WatchModelsResponse(_message.Message):
    __slots__ = ("whole", "models", "removed", "progress")
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    whole: bool
    models: _containers.RepeatedCompositeFieldContainer[_model_service_pb2.Model]
    removed: _containers.RepeatedScalarFieldContainer[str]
    progress: _frame_pb2.Progress
    def __init__(self, whole: _Optional[bool] = ..., models: _Optional[_Iterable[_Union[_model_service_pb2.Model, _Mapping]]] = ..., removed: _Optional[_Iterable[str]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class OtherNames(_message.Message):
    __slots__ = ("model", "names")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    model: str
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class NameModelsRequest(_message.Message):
    __slots__ = ("family", "withheld", "others")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    family: str
    withheld: _containers.RepeatedScalarFieldContainer[str]
    others: _containers.RepeatedCompositeFieldContainer[OtherNames]
    def __init__(self, family: _Optional[str] = ..., withheld: _Optional[_Iterable[str]] = ..., others: _Optional[_Iterable[_Union[OtherNames, _Mapping]]] = ...) -> None: ...

class NameModelsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AttendModelRequest(_message.Message):
    __slots__ = ("family", "model", "names")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class AttendModelResponse(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...
