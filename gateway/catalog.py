"""Which methods the doors serve: every public method of the contract, none by name."""

import troupe
from bus import Code, MethodInfo, RpcError, ServiceInfo, nearest


class Catalog:
    """The public methods of some services."""

    def __init__(self, services: dict[str, ServiceInfo] | None = None) -> None:
        self.services = troupe.services() if services is None else services
        self._methods = {
            method.full_name: method
            for service in self.services.values()
            for method in service.methods.values()
            if method.policy.public
        }

    @property
    def methods(self) -> list[MethodInfo]:
        """All of them, by full name."""
        return [self._methods[name] for name in sorted(self._methods)]

    @property
    def scopes(self) -> frozenset[str]:
        """What the methods ask of a key."""
        return frozenset(method.policy.scope for method in self._methods.values() if method.policy.scope)

    @property
    def service_names(self) -> list[str]:
        """Services with at least one public method."""
        return sorted({method.service for method in self._methods.values()})

    def method(self, full_name: str) -> MethodInfo:
        """The method. Raises UNIMPLEMENTED (METHOD_NOT_FOUND) with the nearest names."""
        found = self._methods.get(full_name.removeprefix("/"))
        if found is None:
            close = nearest(full_name, self._methods)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise RpcError(
                Code.UNIMPLEMENTED,
                f"There is no method {full_name[:200]!r}.{hint}",
                reason="METHOD_NOT_FOUND",
                metadata={"nearest": ", ".join(close)},
            )
        return found
