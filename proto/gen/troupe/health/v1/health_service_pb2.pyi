import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from troupe.rpc.v1 import frame_pb2 as _frame_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActorState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTOR_STATE_UNSPECIFIED: _ClassVar[ActorState]
    ACTOR_STATE_STARTING: _ClassVar[ActorState]
    ACTOR_STATE_SERVING: _ClassVar[ActorState]
    ACTOR_STATE_BACKING_OFF: _ClassVar[ActorState]
    ACTOR_STATE_FAILED: _ClassVar[ActorState]
    ACTOR_STATE_DRAINING: _ClassVar[ActorState]
    ACTOR_STATE_STOPPED: _ClassVar[ActorState]
    ACTOR_STATE_NOT_INSTALLED: _ClassVar[ActorState]
ACTOR_STATE_UNSPECIFIED: ActorState
ACTOR_STATE_STARTING: ActorState
ACTOR_STATE_SERVING: ActorState
ACTOR_STATE_BACKING_OFF: ActorState
ACTOR_STATE_FAILED: ActorState
ACTOR_STATE_DRAINING: ActorState
ACTOR_STATE_STOPPED: ActorState
ACTOR_STATE_NOT_INSTALLED: ActorState

class Actor(_message.Message):
    __slots__ = ("name", "state", "process", "pid", "restarts", "last_exit", "since", "trouble", "part")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    LAST_EXIT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: ActorState
    process: str
    pid: int
    restarts: int
    last_exit: str
    since: _timestamp_pb2.Timestamp
    trouble: str
    part: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[ActorState, str]] = ..., process: _Optional[str] = ..., pid: _Optional[int] = ..., restarts: _Optional[int] = ..., last_exit: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., trouble: _Optional[str] = ..., part: _Optional[str] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("actors", "started", "version")
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    actors: _containers.RepeatedCompositeFieldContainer[Actor]
    started: _timestamp_pb2.Timestamp
    version: str
    def __init__(self, actors: _Optional[_Iterable[_Union[Actor, _Mapping]]] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("actors", "progress")
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    actors: _containers.RepeatedCompositeFieldContainer[Actor]
    progress: _frame_pb2.Progress
    def __init__(self, actors: _Optional[_Iterable[_Union[Actor, _Mapping]]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class StartActorRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StartActorResponse(_message.Message):
    __slots__ = ("actor",)
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    actor: Actor
    def __init__(self, actor: _Optional[_Union[Actor, _Mapping]] = ...) -> None: ...
