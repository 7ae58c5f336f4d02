import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from troupe.rpc.v1 import frame_pb2 as _frame_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_KIND_UNSPECIFIED: _ClassVar[DeviceKind]
    DEVICE_KIND_NVIDIA: _ClassVar[DeviceKind]
    DEVICE_KIND_SYSTEM: _ClassVar[DeviceKind]
    DEVICE_KIND_FIXED: _ClassVar[DeviceKind]

class LeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_STATE_UNSPECIFIED: _ClassVar[LeaseState]
    LEASE_STATE_PLACED: _ClassVar[LeaseState]
    LEASE_STATE_LOADING: _ClassVar[LeaseState]
    LEASE_STATE_BUSY: _ClassVar[LeaseState]
    LEASE_STATE_IDLE: _ClassVar[LeaseState]
    LEASE_STATE_REVOKED: _ClassVar[LeaseState]
DEVICE_KIND_UNSPECIFIED: DeviceKind
DEVICE_KIND_NVIDIA: DeviceKind
DEVICE_KIND_SYSTEM: DeviceKind
DEVICE_KIND_FIXED: DeviceKind
LEASE_STATE_UNSPECIFIED: LeaseState
LEASE_STATE_PLACED: LeaseState
LEASE_STATE_LOADING: LeaseState
LEASE_STATE_BUSY: LeaseState
LEASE_STATE_IDLE: LeaseState
LEASE_STATE_REVOKED: LeaseState

class Size(_message.Message):
    __slots__ = ("kind", "bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: DeviceKind
    bytes: int
    def __init__(self, kind: _Optional[_Union[DeviceKind, str]] = ..., bytes: _Optional[int] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("sizes", "spread", "note")
    SIZES_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    sizes: _containers.RepeatedCompositeFieldContainer[Size]
    spread: bool
    note: str
    def __init__(self, sizes: _Optional[_Iterable[_Union[Size, _Mapping]]] = ..., spread: _Optional[bool] = ..., note: _Optional[str] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("name", "variants", "devices", "key", "load", "pinned", "preemptible", "replicates")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIBLE_FIELD_NUMBER: _ClassVar[int]
    REPLICATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    devices: _containers.RepeatedScalarFieldContainer[str]
    key: str
    load: _duration_pb2.Duration
    pinned: bool
    preemptible: bool
    replicates: bool
    def __init__(self, name: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., devices: _Optional[_Iterable[str]] = ..., key: _Optional[str] = ..., load: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., pinned: _Optional[bool] = ..., preemptible: _Optional[bool] = ..., replicates: _Optional[bool] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("device", "bytes")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    device: str
    bytes: int
    def __init__(self, device: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class DemandRequest(_message.Message):
    __slots__ = ("machine", "work")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    machine: str
    work: Work
    def __init__(self, machine: _Optional[str] = ..., work: _Optional[_Union[Work, _Mapping]] = ...) -> None: ...

class DemandResponse(_message.Message):
    __slots__ = ("placed", "progress")
    PLACED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    placed: _containers.RepeatedCompositeFieldContainer[Share]
    progress: _frame_pb2.Progress
    def __init__(self, placed: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("machine", "ask", "claim", "loaded", "use", "grow", "out_of_memory")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    GROW_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_MEMORY_FIELD_NUMBER: _ClassVar[int]
    machine: str
    ask: Ask
    claim: Claim
    loaded: Loaded
    use: Use
    grow: Grow
    out_of_memory: OutOfMemory
    def __init__(self, machine: _Optional[str] = ..., ask: _Optional[_Union[Ask, _Mapping]] = ..., claim: _Optional[_Union[Claim, _Mapping]] = ..., loaded: _Optional[_Union[Loaded, _Mapping]] = ..., use: _Optional[_Union[Use, _Mapping]] = ..., grow: _Optional[_Union[Grow, _Mapping]] = ..., out_of_memory: _Optional[_Union[OutOfMemory, _Mapping]] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("pid", "pid_namespace")
    PID_FIELD_NUMBER: _ClassVar[int]
    PID_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    pid: int
    pid_namespace: str
    def __init__(self, pid: _Optional[int] = ..., pid_namespace: _Optional[str] = ...) -> None: ...

class Ask(_message.Message):
    __slots__ = ("work", "lease", "holder", "replica")
    WORK_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    work: Work
    lease: str
    holder: Holder
    replica: bool
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ..., lease: _Optional[str] = ..., holder: _Optional[_Union[Holder, _Mapping]] = ..., replica: _Optional[bool] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("work", "shares", "loaded", "lease", "holder", "use")
    WORK_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    work: Work
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    loaded: bool
    lease: str
    holder: Holder
    use: Use
    def __init__(self, work: _Optional[_Union[Work, _Mapping]] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., loaded: _Optional[bool] = ..., lease: _Optional[str] = ..., holder: _Optional[_Union[Holder, _Mapping]] = ..., use: _Optional[_Union[Use, _Mapping]] = ...) -> None: ...

class Loaded(_message.Message):
    __slots__ = ("measured",)
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    measured: _containers.RepeatedCompositeFieldContainer[Share]
    def __init__(self, measured: _Optional[_Iterable[_Union[Share, _Mapping]]] = ...) -> None: ...

class Use(_message.Message):
    __slots__ = ("running", "waiting", "begun")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    running: int
    waiting: int
    begun: int
    def __init__(self, running: _Optional[int] = ..., waiting: _Optional[int] = ..., begun: _Optional[int] = ...) -> None: ...

class Grow(_message.Message):
    __slots__ = ("more",)
    MORE_FIELD_NUMBER: _ClassVar[int]
    more: _containers.RepeatedCompositeFieldContainer[Share]
    def __init__(self, more: _Optional[_Iterable[_Union[Share, _Mapping]]] = ...) -> None: ...

class OutOfMemory(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("granted", "revoke", "grown", "welcome", "progress")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    GROWN_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    granted: Grant
    revoke: Revoke
    grown: Grown
    welcome: Welcome
    progress: _frame_pb2.Progress
    def __init__(self, granted: _Optional[_Union[Grant, _Mapping]] = ..., revoke: _Optional[_Union[Revoke, _Mapping]] = ..., grown: _Optional[_Union[Grown, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("shares",)
    SHARES_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    def __init__(self, shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ...) -> None: ...

class Revoke(_message.Message):
    __slots__ = ("within", "reason")
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    within: _duration_pb2.Duration
    reason: str
    def __init__(self, within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class Grown(_message.Message):
    __slots__ = ("allowed",)
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    def __init__(self, allowed: _Optional[bool] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("within",)
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    within: _duration_pb2.Duration
    def __init__(self, within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("name", "kind", "total_bytes", "cap_bytes", "leased_bytes", "others_bytes", "ours_bytes", "unverified_bytes", "utilization", "temperature", "power", "lost")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEASED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OTHERS_BYTES_FIELD_NUMBER: _ClassVar[int]
    OURS_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNVERIFIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: DeviceKind
    total_bytes: int
    cap_bytes: int
    leased_bytes: int
    others_bytes: int
    ours_bytes: int
    unverified_bytes: int
    utilization: float
    temperature: float
    power: float
    lost: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[DeviceKind, str]] = ..., total_bytes: _Optional[int] = ..., cap_bytes: _Optional[int] = ..., leased_bytes: _Optional[int] = ..., others_bytes: _Optional[int] = ..., ours_bytes: _Optional[int] = ..., unverified_bytes: _Optional[int] = ..., utilization: _Optional[float] = ..., temperature: _Optional[float] = ..., power: _Optional[float] = ..., lost: _Optional[bool] = ...) -> None: ...

class LeaseInfo(_message.Message):
    __slots__ = ("id", "name", "holder", "state", "shares", "measured", "running", "since", "pinned")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    holder: str
    state: LeaseState
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    measured: _containers.RepeatedCompositeFieldContainer[Share]
    running: int
    since: _timestamp_pb2.Timestamp
    pinned: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., holder: _Optional[str] = ..., state: _Optional[_Union[LeaseState, str]] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., measured: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., running: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pinned: _Optional[bool] = ...) -> None: ...

class Wish(_message.Message):
    __slots__ = ("name", "priority", "position", "eta", "since", "waiting", "reason", "others")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    priority: _frame_pb2.Priority
    position: int
    eta: _duration_pb2.Duration
    since: _timestamp_pb2.Timestamp
    waiting: int
    reason: str
    others: bool
    def __init__(self, name: _Optional[str] = ..., priority: _Optional[_Union[_frame_pb2.Priority, str]] = ..., position: _Optional[int] = ..., eta: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting: _Optional[int] = ..., reason: _Optional[str] = ..., others: _Optional[bool] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("at", "what", "name", "reason", "shares", "rule")
    AT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    what: str
    name: str
    reason: str
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    rule: str
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., what: _Optional[str] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ..., rule: _Optional[str] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("machine", "name", "pinned")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    machine: str
    name: str
    pinned: bool
    def __init__(self, machine: _Optional[str] = ..., name: _Optional[str] = ..., pinned: _Optional[bool] = ...) -> None: ...

class PinResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RecallRequest(_message.Message):
    __slots__ = ("machine", "keys")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    machine: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, machine: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class RecallResponse(_message.Message):
    __slots__ = ("recalled",)
    RECALLED_FIELD_NUMBER: _ClassVar[int]
    recalled: _containers.RepeatedCompositeFieldContainer[Recalled]
    def __init__(self, recalled: _Optional[_Iterable[_Union[Recalled, _Mapping]]] = ...) -> None: ...

class Recalled(_message.Message):
    __slots__ = ("sizes",)
    SIZES_FIELD_NUMBER: _ClassVar[int]
    sizes: _containers.RepeatedCompositeFieldContainer[Size]
    def __init__(self, sizes: _Optional[_Iterable[_Union[Size, _Mapping]]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("machine", "once")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    ONCE_FIELD_NUMBER: _ClassVar[int]
    machine: str
    once: bool
    def __init__(self, machine: _Optional[str] = ..., once: _Optional[bool] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("devices", "leases", "wishes", "decisions", "machines", "progress")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    WISHES_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    MACHINES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    leases: _containers.RepeatedCompositeFieldContainer[LeaseInfo]
    wishes: _containers.RepeatedCompositeFieldContainer[Wish]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    machines: _containers.RepeatedScalarFieldContainer[str]
    progress: _frame_pb2.Progress
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., leases: _Optional[_Iterable[_Union[LeaseInfo, _Mapping]]] = ..., wishes: _Optional[_Iterable[_Union[Wish, _Mapping]]] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., machines: _Optional[_Iterable[str]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...
