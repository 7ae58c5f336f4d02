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

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_AVAILABLE: _ClassVar[ModelState]
    MODEL_STATE_LOADING: _ClassVar[ModelState]
    MODEL_STATE_READY: _ClassVar[ModelState]
    MODEL_STATE_FAILED: _ClassVar[ModelState]
    MODEL_STATE_DRAINING: _ClassVar[ModelState]
    MODEL_STATE_UNAVAILABLE: _ClassVar[ModelState]

class HealthState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_STATE_UNSPECIFIED: _ClassVar[HealthState]
    HEALTH_STATE_HEALTHY: _ClassVar[HealthState]
    HEALTH_STATE_FAILING: _ClassVar[HealthState]
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_AVAILABLE: ModelState
MODEL_STATE_LOADING: ModelState
MODEL_STATE_READY: ModelState
MODEL_STATE_FAILED: ModelState
MODEL_STATE_DRAINING: ModelState
MODEL_STATE_UNAVAILABLE: ModelState
HEALTH_STATE_UNSPECIFIED: HealthState
HEALTH_STATE_HEALTHY: HealthState
HEALTH_STATE_FAILING: HealthState

class Model(_message.Message):
    __slots__ = ("name", "services", "state", "family", "architecture", "quantization", "parameters", "size_bytes", "context_tokens", "embedding_dimensions", "adapters", "description", "modified", "error", "owner", "default", "qualified_name", "chat_template", "note", "served_names", "aliases", "pinned", "license", "digest", "languages", "input_modalities", "output_modalities", "specialties", "source", "health", "figures")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    QUALIFIED_NAME_FIELD_NUMBER: _ClassVar[int]
    CHAT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SERVED_NAMES_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    INPUT_MODALITIES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MODALITIES_FIELD_NUMBER: _ClassVar[int]
    SPECIALTIES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    name: str
    services: _containers.RepeatedScalarFieldContainer[str]
    state: ModelState
    family: str
    architecture: str
    quantization: str
    parameters: int
    size_bytes: int
    context_tokens: int
    embedding_dimensions: int
    adapters: _containers.RepeatedScalarFieldContainer[str]
    description: str
    modified: _timestamp_pb2.Timestamp
    error: str
    owner: str
    default: bool
    qualified_name: str
    chat_template: bool
    note: str
    served_names: _containers.RepeatedScalarFieldContainer[str]
    aliases: _containers.RepeatedScalarFieldContainer[str]
    pinned: bool
    license: str
    digest: str
    languages: _containers.RepeatedScalarFieldContainer[str]
    input_modalities: _containers.RepeatedScalarFieldContainer[str]
    output_modalities: _containers.RepeatedScalarFieldContainer[str]
    specialties: _containers.RepeatedScalarFieldContainer[str]
    source: str
    health: Health
    figures: Figures
    def __init__(self, name: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[ModelState, str]] = ..., family: _Optional[str] = ..., architecture: _Optional[str] = ..., quantization: _Optional[str] = ..., parameters: _Optional[int] = ..., size_bytes: _Optional[int] = ..., context_tokens: _Optional[int] = ..., embedding_dimensions: _Optional[int] = ..., adapters: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., modified: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ..., owner: _Optional[str] = ..., default: _Optional[bool] = ..., qualified_name: _Optional[str] = ..., chat_template: _Optional[bool] = ..., note: _Optional[str] = ..., served_names: _Optional[_Iterable[str]] = ..., aliases: _Optional[_Iterable[str]] = ..., pinned: _Optional[bool] = ..., license: _Optional[str] = ..., digest: _Optional[str] = ..., languages: _Optional[_Iterable[str]] = ..., input_modalities: _Optional[_Iterable[str]] = ..., output_modalities: _Optional[_Iterable[str]] = ..., specialties: _Optional[_Iterable[str]] = ..., source: _Optional[str] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("state", "checked", "latency", "error")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    state: HealthState
    checked: _timestamp_pb2.Timestamp
    latency: _duration_pb2.Duration
    error: str
    def __init__(self, state: _Optional[_Union[HealthState, str]] = ..., checked: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class Figures(_message.Message):
    __slots__ = ("context_tokens", "slots", "quantization", "engine", "device", "measured", "load", "first_token", "first_token_busy", "prompt_tokens_per_second", "tokens_per_second", "total_tokens_per_second", "host_bytes", "accelerator_bytes", "model", "disturbed", "error")
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_BUSY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    HOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DISTURBED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    context_tokens: int
    slots: int
    quantization: str
    engine: str
    device: str
    measured: _timestamp_pb2.Timestamp
    load: _duration_pb2.Duration
    first_token: _duration_pb2.Duration
    first_token_busy: _duration_pb2.Duration
    prompt_tokens_per_second: float
    tokens_per_second: float
    total_tokens_per_second: float
    host_bytes: int
    accelerator_bytes: int
    model: str
    disturbed: bool
    error: str
    def __init__(self, context_tokens: _Optional[int] = ..., slots: _Optional[int] = ..., quantization: _Optional[str] = ..., engine: _Optional[str] = ..., device: _Optional[str] = ..., measured: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., load: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_token_busy: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., prompt_tokens_per_second: _Optional[float] = ..., tokens_per_second: _Optional[float] = ..., total_tokens_per_second: _Optional[float] = ..., host_bytes: _Optional[int] = ..., accelerator_bytes: _Optional[int] = ..., model: _Optional[str] = ..., disturbed: _Optional[bool] = ..., error: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model", "profile")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    model: Model
    profile: ModelProfile
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., profile: _Optional[_Union[ModelProfile, _Mapping]] = ...) -> None: ...

class ProfileModelRequest(_message.Message):
    __slots__ = ("name", "contexts", "slots", "others", "detached")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    contexts: _containers.RepeatedScalarFieldContainer[int]
    slots: _containers.RepeatedScalarFieldContainer[int]
    others: _containers.RepeatedScalarFieldContainer[str]
    detached: bool
    def __init__(self, name: _Optional[str] = ..., contexts: _Optional[_Iterable[int]] = ..., slots: _Optional[_Iterable[int]] = ..., others: _Optional[_Iterable[str]] = ..., detached: _Optional[bool] = ...) -> None: ...

class ProfileModelResponse(_message.Message):
    __slots__ = ("job_id", "profile", "progress")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    profile: ModelProfile
    progress: _frame_pb2.Progress
    def __init__(self, job_id: _Optional[str] = ..., profile: _Optional[_Union[ModelProfile, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class ModelProfile(_message.Message):
    __slots__ = ("figures", "proposal")
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    figures: _containers.RepeatedCompositeFieldContainer[Figures]
    proposal: Proposal
    def __init__(self, figures: _Optional[_Iterable[_Union[Figures, _Mapping]]] = ..., proposal: _Optional[_Union[Proposal, _Mapping]] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("model", "context_tokens", "slots", "reasons")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    context_tokens: int
    slots: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., context_tokens: _Optional[int] = ..., slots: _Optional[int] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("name", "method")
    NAME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    name: str
    method: str
    def __init__(self, name: _Optional[str] = ..., method: _Optional[str] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("model", "progress")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    model: Model
    progress: _frame_pb2.Progress
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UnloadModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Alias(_message.Message):
    __slots__ = ("name", "model", "fixed", "version", "versions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    fixed: bool
    version: int
    versions: _containers.RepeatedCompositeFieldContainer[AliasVersion]
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., fixed: _Optional[bool] = ..., version: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[AliasVersion, _Mapping]]] = ...) -> None: ...

class AliasVersion(_message.Message):
    __slots__ = ("number", "model", "set_at", "set_by")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    number: int
    model: str
    set_at: _timestamp_pb2.Timestamp
    set_by: str
    def __init__(self, number: _Optional[int] = ..., model: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., set_by: _Optional[str] = ...) -> None: ...

class Pin(_message.Message):
    __slots__ = ("model", "set_at", "set_by")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    model: str
    set_at: _timestamp_pb2.Timestamp
    set_by: str
    def __init__(self, model: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., set_by: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("alias", "model")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    alias: str
    model: str
    def __init__(self, alias: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class SetAliasResponse(_message.Message):
    __slots__ = ("alias",)
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    alias: Alias
    def __init__(self, alias: _Optional[_Union[Alias, _Mapping]] = ...) -> None: ...

class RemoveAliasRequest(_message.Message):
    __slots__ = ("alias",)
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    def __init__(self, alias: _Optional[str] = ...) -> None: ...

class RemoveAliasResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAliasesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAliasesResponse(_message.Message):
    __slots__ = ("aliases",)
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    aliases: _containers.RepeatedCompositeFieldContainer[Alias]
    def __init__(self, aliases: _Optional[_Iterable[_Union[Alias, _Mapping]]] = ...) -> None: ...

class RollbackAliasRequest(_message.Message):
    __slots__ = ("alias", "version")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    alias: str
    version: int
    def __init__(self, alias: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class RollbackAliasResponse(_message.Message):
    __slots__ = ("alias",)
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    alias: Alias
    def __init__(self, alias: _Optional[_Union[Alias, _Mapping]] = ...) -> None: ...

class PinModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PinModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class UnpinModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UnpinModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class RemoveModelRequest(_message.Message):
    __slots__ = ("name", "force")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    force: bool
    def __init__(self, name: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RemoveModelResponse(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class PlanModelsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class PlanModelsResponse(_message.Message):
    __slots__ = ("plans",)
    PLANS_FIELD_NUMBER: _ClassVar[int]
    plans: _containers.RepeatedCompositeFieldContainer[ModelPlan]
    def __init__(self, plans: _Optional[_Iterable[_Union[ModelPlan, _Mapping]]] = ...) -> None: ...

class ModelPlan(_message.Message):
    __slots__ = ("model", "ways", "measured_host_bytes", "measured_accelerator_bytes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WAYS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_HOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEASURED_ACCELERATOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    model: Model
    ways: _containers.RepeatedCompositeFieldContainer[MemoryWay]
    measured_host_bytes: int
    measured_accelerator_bytes: int
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., ways: _Optional[_Iterable[_Union[MemoryWay, _Mapping]]] = ..., measured_host_bytes: _Optional[int] = ..., measured_accelerator_bytes: _Optional[int] = ...) -> None: ...

class MemoryWay(_message.Message):
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

class QuantizeModelRequest(_message.Message):
    __slots__ = ("name", "quantization", "new_name", "text", "detached")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    quantization: str
    new_name: str
    text: str
    detached: bool
    def __init__(self, name: _Optional[str] = ..., quantization: _Optional[str] = ..., new_name: _Optional[str] = ..., text: _Optional[str] = ..., detached: _Optional[bool] = ...) -> None: ...

class QuantizeModelResponse(_message.Message):
    __slots__ = ("job_id", "warnings", "model", "progress")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    model: QuantizedModel
    progress: _frame_pb2.Progress
    def __init__(self, job_id: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., model: _Optional[_Union[QuantizedModel, _Mapping]] = ..., progress: _Optional[_Union[_frame_pb2.Progress, _Mapping]] = ...) -> None: ...

class QuantizedModel(_message.Message):
    __slots__ = ("name", "source", "quantization", "source_quantization", "size_bytes", "source_bytes", "sha256", "divergence", "warnings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUANTIZATION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DIVERGENCE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    quantization: str
    source_quantization: str
    size_bytes: int
    source_bytes: int
    sha256: str
    divergence: Divergence
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., quantization: _Optional[str] = ..., source_quantization: _Optional[str] = ..., size_bytes: _Optional[int] = ..., source_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., divergence: _Optional[_Union[Divergence, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class Divergence(_message.Message):
    __slots__ = ("tokens", "mean_kl", "p99_kl", "same_top", "source_perplexity", "perplexity", "own_text")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    MEAN_KL_FIELD_NUMBER: _ClassVar[int]
    P99_KL_FIELD_NUMBER: _ClassVar[int]
    SAME_TOP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    OWN_TEXT_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    mean_kl: float
    p99_kl: float
    same_top: float
    source_perplexity: float
    perplexity: float
    own_text: bool
    def __init__(self, tokens: _Optional[int] = ..., mean_kl: _Optional[float] = ..., p99_kl: _Optional[float] = ..., same_top: _Optional[float] = ..., source_perplexity: _Optional[float] = ..., perplexity: _Optional[float] = ..., own_text: _Optional[bool] = ...) -> None: ...
