"""Looks after the hub's own NATS server as after any process: ended, or hung, it is started again on its port.

It lives while the watcher hears itself through it; only where that fails it is asked for its greeting.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from host.driver import Driver, Ending, ended_by
from host.embedded import EmbeddedServer, ServerError
from host.settings import SupervisorSettings
from host.supervision import Child, State, Supervision

PROBE_SECONDS = 0.5
"""Between two looks at it, and how long its greeting may take."""

HEARD_SECONDS = 0.95
"""Having heard itself so lately, a watcher need not ask."""

NATS = "nats"

log = structlog.get_logger(__name__)


class _Server:
    """The server as a driver's process. Who ends it in order is who has started it: not this."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    @property
    def pid(self) -> int:
        return self._server.pid

    async def ended(self) -> Ending:
        status = await self._server.wait()
        return ended_by(-status) if status < 0 else Ending(f"ended with status {status}")

    def terminate(self) -> None:
        pass

    def kill(self) -> None:
        self._server.kill()


class BusWatch:
    """Watches a server that runs. changed: called when its state changes; failed: with why it cannot go on."""

    def __init__(
        self,
        server: EmbeddedServer,
        settings: SupervisorSettings,
        *,
        changed: Callable[[Child], None],
        failed: Callable[[str], None],
    ) -> None:
        self._server = server
        self._failed = failed
        self._heard_at = time.monotonic()
        supervision = Supervision(
            [[NATS]], max_restarts=settings.max_restarts, window=settings.restart_window_seconds, drain=0.0
        )
        self.driver = Driver(supervision, self._launch, changed=changed, failed=self._give_up, kind="server")

    def heard_itself(self) -> None:
        """The watcher's own word came back through the server."""
        self._heard_at = time.monotonic()

    async def run(self) -> None:
        """Watch until cancelled; the server is left as it is."""
        self.driver.start()
        try:
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                await self._probe()
        finally:
            await self.driver.end(leave=True)

    async def _probe(self) -> None:
        now = time.monotonic()
        if self._server.pid and (now - self._heard_at < HEARD_SECONDS or await self._server.answers(PROBE_SECONDS)):
            serving = State.SERVING.value
            self.driver.do(self.driver.supervision.heard(NATS, NATS, serving, time.monotonic()))

    async def _launch(self, name: str, instance: str) -> _Server:
        if not self._server.pid:
            try:
                await self._server.restart()
            except (ServerError, OSError) as error:  # tried again after a pause: a port or a disk may become free
                raise OSError(str(error)) from error
        return _Server(self._server)

    def _give_up(self, child: Child) -> None:
        why = f"ends again and again ({child.last_exit}); see {self._server.home / NATS}"
        log.error("bus.failed", why=why)
        self._failed(f"The NATS server {why}")
