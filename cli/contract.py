"""The methods of the contract, as names to type and as lines to read."""

from typing import TYPE_CHECKING

from cli.failure import CommandError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from bus import MethodInfo


def methods() -> dict[str, "MethodInfo"]:
    """Every method that a hub serves at its doors, by its full name."""
    from troupe import services

    every = (method for service in services().values() for method in service.methods.values())
    return {method.full_name: method for method in every if method.policy.public}


def method_of(name: str) -> "MethodInfo":
    """The method of this name: in full, with a dot for the slash, or from the service's own name on.

    Raises CommandError with the nearest names.
    """
    known = methods()
    wanted = name.strip("/").replace("/", ".")
    found = [method for full, method in known.items() if _ends(full.replace("/", "."), wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{name!r} is several methods.", f"Say which: {', '.join(m.full_name for m in found)}.")
    raise CommandError(f"There is no method {name!r}.", _meant(wanted, known))


def _ends(full: str, wanted: str) -> bool:
    return full == wanted or full.endswith(f".{wanted}")


def _meant(wanted: str, known: dict[str, "MethodInfo"]) -> str:
    from bus import nearest

    # Compared from the service's name on, or by the method's alone where that is all that was typed: packages and
    # services are alike and would outweigh what was mistyped.
    parts = min(2, wanted.count(".") + 1)
    short = {_last(full.replace("/", "."), parts): full for full in known}
    close = nearest(_last(wanted, parts), short)
    if close:
        return f"Did you mean {' or '.join(short[name] for name in close)}?"
    return "`troupe call` without arguments lists all."


def _last(name: str, parts: int) -> str:
    return ".".join(name.split(".")[-parts:]).lower()


def shape_of(method: "MethodInfo") -> str:
    """How many messages go each way, in gRPC's words."""
    if method.client_streaming:
        return "bidi stream" if method.server_streaming else "client stream"
    return "server stream" if method.server_streaming else "unary"


def described(method: "MethodInfo") -> list[str]:
    """The method and every message that it carries, as .proto text with JSON's field names."""
    request = f"{'stream ' if method.client_streaming else ''}{method.request.DESCRIPTOR.name}"
    response = f"{'stream ' if method.server_streaming else ''}{method.response.DESCRIPTOR.name}"
    lines = [f"rpc {method.full_name}({request}) returns ({response})"]
    for message in _carried([method.request.DESCRIPTOR, method.response.DESCRIPTOR]):
        lines += ["", f"message {message.full_name} {{", *(f"  {line}" for line in _fields(message)), "}"]
    return lines


def _carried(first: "list[Descriptor]") -> "list[Descriptor]":
    """These messages and the package's own ones inside them, each once, in the order in which a reader meets them."""
    found = list(first)
    for message in found:
        for field in message.fields:
            inner = field.message_type
            if inner is not None and inner not in found and inner.full_name.startswith("troupe."):
                found.append(inner)
    return found


def _fields(message: "Descriptor") -> list[str]:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

    proto = DescriptorProto()
    message.CopyToProto(proto)
    lines = []
    for field in proto.field:
        repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        label = "repeated " if repeated else "optional " if field.proto3_optional else ""
        scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        lines.append(f"{label}{field.type_name.lstrip('.') or scalar} {field.json_name}{_choices(message, field.name)}")
    return lines


def _choices(message: "Descriptor", field: str) -> str:
    """What an enum field may be."""
    kind = message.fields_by_name[field].enum_type
    return f"  // {', '.join(value.name for value in kind.values)}" if kind is not None else ""
