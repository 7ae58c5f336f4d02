from troupe.model.v1 import model_service_pb2 as _model_service_pb2
from troupe.rpc.v1 import frame_pb2 as _frame_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Needs(_message.Message):
    __slots__ = ("weights_bytes", "cache_bytes", "working_bytes", "accelerator")
    WEIGHTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKING_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    weights_bytes: int
    cache_bytes: int
    working_bytes: int
    accelerator: bool
    def __init__(self, weights_bytes: _Optional[int] = ..., cache_bytes: _Optional[int] = ..., working_bytes: _Optional[int] = ..., accelerator: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ("model", "needs")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    model: _model_service_pb2.Model
    needs: Needs
    def __init__(self, model: _Optional[_Union[_model_service_pb2.Model, _Mapping]] = ..., needs: _Optional[_Union[Needs, _Mapping]] = ...) -> None: ...

class StartModelRequest(_message.Message):
    __slots__ = ("family", "model")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    family: str
    model: str
    def __init__(self, family: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

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
