from pathlib import Path

from cli.hub_lines import HubLines
from host.supervision import Child, State

HOME = Path("/h")


def lines() -> HubLines:
    return HubLines(HOME, 77, 10.0)


def child(name: str, state: State, last_exit: str = "", restarts: int = 0) -> Child:
    return Child(name, state=state, last_exit=last_exit, restarts=restarts)


def test_while_the_hub_starts_it_says_what_it_waits_for() -> None:
    told = lines()
    assert told.waiting() == []
    for name in ("gateway", "llama"):
        assert told.changed(child(name, State.STARTING)) == []
    assert told.waiting() == ["  Waiting for gateway, llama."]
    assert told.changed(child("gateway", State.SERVING)) == []
    assert told.waiting() == ["  Waiting for llama."]
    told.greeted({"gateway": "serving", "llama": "starting"})
    assert told.waiting() == []
    assert told.changed(child("llama", State.SERVING)) == ["  llama: serves."]


def test_what_is_started_again_is_told_with_the_reason_and_when_it_is_back_the_gateway_too() -> None:
    told = lines()
    told.changed(child("gateway", State.SERVING))
    told.greeted({"gateway": "serving"})
    why = "killed: it was stopped and told nothing for 1.5 s"
    assert told.changed(child("gateway", State.BACKING_OFF, why)) == [f"  gateway: {why}; it is started again."]
    assert told.changed(child("gateway", State.BACKING_OFF, why)) == []
    assert told.changed(child("gateway", State.STARTING, why, 1)) == []
    assert told.changed(child("gateway", State.SERVING, why, 1)) == ["  gateway: serves again."]


def test_what_has_failed_is_told_with_what_to_do() -> None:
    told = lines()
    said = "\n".join(told.changed(child("echo", State.FAILED, "ended with status 1: no paint", 5)))
    assert "echo: ended with status 1: no paint; it ended too often" in said
    assert f"{HOME / 'logs' / 'echo.log'}" in said
    assert "kill -USR1 77" in said


def test_where_the_hub_ends_nobody_is_told_how_to_start_a_part_of_it() -> None:
    said = lines().changed(child("nats", State.FAILED, "ended with status 1", 5))
    assert said == ["  nats: ended with status 1; it ended too often, and the hub ends."]


def test_what_is_not_right_with_a_process_that_serves_is_told_and_its_end_too() -> None:
    told = lines()
    llama = child("llama", State.SERVING)
    told.changed(llama)
    llama.trouble = "tiny is started again: killed."
    assert told.changed(llama) == ["  llama: tiny is started again: killed."]
    assert told.changed(llama) == []
    llama.trouble = ""
    assert told.changed(llama) == ["  llama: all is well again."]


def test_an_end_in_order_is_not_told() -> None:
    told = lines()
    told.greeted({})
    assert told.changed(child("echo", State.DRAINING)) == told.changed(child("echo", State.STOPPED)) == []


def test_a_stop_says_what_it_waits_for() -> None:
    told = lines()
    assert told.stopping(1) == "Stopping; waits for 1 answer, at most 10 s. Ctrl-C again stops at once."
    assert told.stopping(3).startswith("Stopping; waits for 3 answers, at most 10 s.")
    assert told.stopping(0) == "Stopping. Ctrl-C again stops at once."
