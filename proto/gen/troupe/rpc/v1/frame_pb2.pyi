import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_VOICE: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_BATCH: _ClassVar[Priority]
    PRIORITY_TRAINING: _ClassVar[Priority]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_VOICE: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_BATCH: Priority
PRIORITY_TRAINING: Priority
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _descriptor.FieldDescriptor

class Frame(_message.Message):
    __slots__ = ("call_id", "epoch", "sequence", "payload", "more", "half_close", "open", "credit", "cancel", "ping", "pong", "resume", "detach", "close", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSE_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    epoch: int
    sequence: int
    payload: _containers.RepeatedScalarFieldContainer[bytes]
    more: bool
    half_close: bool
    open: Open
    credit: Credit
    cancel: Cancel
    ping: Ping
    pong: Pong
    resume: Resume
    detach: Detach
    close: Close
    headers: _containers.ScalarMap[str, str]
    def __init__(self, call_id: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., payload: _Optional[_Iterable[bytes]] = ..., more: _Optional[bool] = ..., half_close: _Optional[bool] = ..., open: _Optional[_Union[Open, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., detach: _Optional[_Union[Detach, _Mapping]] = ..., close: _Optional[_Union[Close, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("protocol_version", "method", "metadata", "timeout", "initial_credit", "resume_key", "grace", "preceding", "continues")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_CREDIT_FIELD_NUMBER: _ClassVar[int]
    RESUME_KEY_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    PRECEDING_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    method: str
    metadata: _containers.ScalarMap[str, str]
    timeout: _duration_pb2.Duration
    initial_credit: int
    resume_key: bytes
    grace: _duration_pb2.Duration
    preceding: int
    continues: bool
    def __init__(self, protocol_version: _Optional[int] = ..., method: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., initial_credit: _Optional[int] = ..., resume_key: _Optional[bytes] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., preceding: _Optional[int] = ..., continues: _Optional[bool] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("granted", "consumed")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    granted: int
    consumed: int
    def __init__(self, granted: _Optional[int] = ..., consumed: _Optional[int] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("after", "resume_key", "granted", "principal")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    RESUME_KEY_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    after: int
    resume_key: bytes
    granted: int
    principal: str
    def __init__(self, after: _Optional[int] = ..., resume_key: _Optional[bytes] = ..., granted: _Optional[int] = ..., principal: _Optional[str] = ...) -> None: ...

class Detach(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Close(_message.Message):
    __slots__ = ("status", "trailers")
    class TrailersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TRAILERS_FIELD_NUMBER: _ClassVar[int]
    status: Status
    trailers: _containers.ScalarMap[str, str]
    def __init__(self, status: _Optional[_Union[Status, _Mapping]] = ..., trailers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("state", "position", "eta", "fraction", "note")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Progress.State]
        STATE_QUEUED: _ClassVar[Progress.State]
        STATE_LOADING: _ClassVar[Progress.State]
        STATE_RUNNING: _ClassVar[Progress.State]
    STATE_UNSPECIFIED: Progress.State
    STATE_QUEUED: Progress.State
    STATE_LOADING: Progress.State
    STATE_RUNNING: Progress.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    state: Progress.State
    position: int
    eta: _duration_pb2.Duration
    fraction: float
    note: str
    def __init__(self, state: _Optional[_Union[Progress.State, str]] = ..., position: _Optional[int] = ..., eta: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., fraction: _Optional[float] = ..., note: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("process", "epoch", "beat", "actor", "services", "state", "steps", "working", "patience_ms", "calls", "trouble", "awaits", "absent")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    WORKING_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_MS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    AWAITS_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    process: str
    epoch: int
    beat: int
    actor: str
    services: _containers.RepeatedScalarFieldContainer[str]
    state: str
    steps: int
    working: bool
    patience_ms: int
    calls: int
    trouble: str
    awaits: _containers.RepeatedScalarFieldContainer[str]
    absent: _containers.RepeatedCompositeFieldContainer[Absence]
    def __init__(self, process: _Optional[str] = ..., epoch: _Optional[int] = ..., beat: _Optional[int] = ..., actor: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ..., steps: _Optional[int] = ..., working: _Optional[bool] = ..., patience_ms: _Optional[int] = ..., calls: _Optional[int] = ..., trouble: _Optional[str] = ..., awaits: _Optional[_Iterable[str]] = ..., absent: _Optional[_Iterable[_Union[Absence, _Mapping]]] = ...) -> None: ...

class Absence(_message.Message):
    __slots__ = ("actor", "part", "services")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    actor: str
    part: str
    services: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, actor: _Optional[str] = ..., part: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ...) -> None: ...

class Location(_message.Message):
    __slots__ = ("process", "epoch", "resume_key_digest", "principal", "method")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESUME_KEY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    process: str
    epoch: int
    resume_key_digest: bytes
    principal: str
    method: str
    def __init__(self, process: _Optional[str] = ..., epoch: _Optional[int] = ..., resume_key_digest: _Optional[bytes] = ..., principal: _Optional[str] = ..., method: _Optional[str] = ...) -> None: ...

class Resolution(_message.Message):
    __slots__ = ("method", "field", "method_field")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_FIELD_NUMBER: _ClassVar[int]
    method: str
    field: str
    method_field: str
    def __init__(self, method: _Optional[str] = ..., field: _Optional[str] = ..., method_field: _Optional[str] = ...) -> None: ...

class Continuation(_message.Message):
    __slots__ = ("request_field",)
    REQUEST_FIELD_FIELD_NUMBER: _ClassVar[int]
    request_field: str
    def __init__(self, request_field: _Optional[str] = ...) -> None: ...

class MethodPolicy(_message.Message):
    __slots__ = ("route_by", "public", "scope", "idempotent", "resolved_by", "priority", "ends_with_caller", "continued_by")
    ROUTE_BY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_BY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ENDS_WITH_CALLER_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_BY_FIELD_NUMBER: _ClassVar[int]
    route_by: str
    public: bool
    scope: str
    idempotent: bool
    resolved_by: Resolution
    priority: Priority
    ends_with_caller: bool
    continued_by: Continuation
    def __init__(self, route_by: _Optional[str] = ..., public: _Optional[bool] = ..., scope: _Optional[str] = ..., idempotent: _Optional[bool] = ..., resolved_by: _Optional[_Union[Resolution, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., ends_with_caller: _Optional[bool] = ..., continued_by: _Optional[_Union[Continuation, _Mapping]] = ...) -> None: ...
