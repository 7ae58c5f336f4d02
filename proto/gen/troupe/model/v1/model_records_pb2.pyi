from troupe.model.v1 import model_service_pb2 as _model_service_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FiguresRecord(_message.Message):
    __slots__ = ("digest", "figures")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    digest: str
    figures: _model_service_pb2.Figures
    def __init__(self, digest: _Optional[str] = ..., figures: _Optional[_Union[_model_service_pb2.Figures, _Mapping]] = ...) -> None: ...
