"""What the doctor knows of WSL, from what such machines show."""

from pathlib import Path

import pytest

from cli import checks, wsl
from cli.finding import Finding, State
from cli.wsl import Wsl

KERNEL_2 = "5.15.167.4-microsoft-standard-WSL2"
KERNEL_1 = "4.4.0-22621-Microsoft"

MOUNTS = r"""none /usr/lib/modules/5.15.167.4-microsoft-standard-WSL2 overlay rw,nosuid,nodev 0 0
/dev/sdc / ext4 rw,relatime,discard,errors=remount-ro,data=ordered 0 0
none /usr/lib/wsl/drivers 9p ro,nosuid,nodev,noatime,aname=drivers;fmask=222;dmask=222,mmap,access=client 0 0
C:\134 /mnt/c 9p rw,noatime,aname=drvfs;path=C:\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client 0 0
D:\134 /mnt/my\040disk 9p rw,noatime,aname=drvfs;path=D:\;uid=1000;gid=1000,mmap,access=client 0 0
"""


def machine(root: Path, kernel: str = KERNEL_2, *there: str, memory: int = 16_000_000) -> Path:
    """A machine that shows this kernel and has these files; those that end with / are folders."""
    files = {"proc/sys/kernel/osrelease": f"{kernel}\n", "proc/mounts": MOUNTS}
    files["proc/meminfo"] = f"MemTotal:       {memory} kB\nMemFree:        100 kB\n"
    for name, text in (files | dict.fromkeys(there, "")).items():
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text(text)
    return root


def seen(root: Path) -> Wsl:
    found = wsl.found(root)
    assert found is not None
    return found


def test_a_linux_of_its_own_is_no_wsl(tmp_path: Path) -> None:
    assert wsl.found(machine(tmp_path, "6.8.0-45-generic")) is None
    assert wsl.found(tmp_path / "empty") is None


def test_wsl_2_with_a_card_is_seen(tmp_path: Path) -> None:
    found = seen(machine(tmp_path, KERNEL_2, "run/systemd/system/", "dev/dxg", "usr/lib/wsl/lib/nvidia-smi"))
    assert found == Wsl(2, KERNEL_2, True, True, True, 16_384_000_000, ("/mnt/c", "/mnt/my disk"))


def test_a_kernel_of_ones_own_is_known_by_its_folder(tmp_path: Path) -> None:
    assert seen(machine(tmp_path, "6.6.1-microsoft-mine", "run/WSL/")).version == 2


def test_wsl_1_cannot_carry_a_hub(tmp_path: Path) -> None:
    first, *_ = checks.subsystem(seen(machine(tmp_path, KERNEL_1)), Path("/home/lan/.troupe"))
    assert (first.state, "--set-version" in first.remedy) == (State.WRONG, True)


def test_without_systemd_it_is_told_how_to_have_it(tmp_path: Path) -> None:
    first, *_ = checks.subsystem(seen(machine(tmp_path)), Path("/home/lan/.troupe"))
    assert (first.state, "/etc/wsl.conf" in first.remedy) == (State.OK, True)
    first, *_ = checks.subsystem(seen(machine(tmp_path, KERNEL_2, "run/systemd/system/")), Path("/home/lan/.troupe"))
    assert (first.state, first.remedy) == (State.OK, "")


@pytest.mark.parametrize(
    ("home", "poor"),
    [
        ("/home/lan/.troupe", False),
        ("/mnt/c/Users/lan/.troupe", True),
        ("/mnt/my disk/troupe", True),
        ("/mnt/cellar/troupe", False),
    ],
)
def test_a_home_on_a_disk_of_windows_is_warned_of(tmp_path: Path, home: str, poor: bool) -> None:
    found = [each for each in checks.subsystem(seen(machine(tmp_path)), Path(home)) if each.name == "Home's disk"]
    assert [(each.state, home in each.detail) for each in found] == ([(State.POOR, True)] if poor else [])


def test_little_memory_is_told_with_the_file_that_gives_more(tmp_path: Path) -> None:
    poor = list(checks.subsystem(seen(machine(tmp_path, memory=3_000_000)), Path("/home/lan")))[1]
    assert (poor.state, "2.9 GiB" in poor.detail, ".wslconfig" in poor.remedy) == (State.POOR, True, True)
    assert list(checks.subsystem(seen(machine(tmp_path)), Path("/home/lan")))[1].state is State.OK


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ((), "passes no card through"),
        (("dev/dxg",), "without NVIDIA's driver"),
        (("dev/dxg", "usr/lib/wsl/lib/nvidia-smi"), "does not answer"),
    ],
)
def test_why_no_card_is_found_is_told(
    tmp_path: Path, there: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = checks.gpu(seen(machine(tmp_path, KERNEL_2, *there)))
    assert (found.state, words in found.detail, bool(found.remedy)) == (State.ABSENT, True, True)


def test_windows_own_nvidia_smi_is_asked_where_the_path_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    root = machine(tmp_path, KERNEL_2, "dev/dxg", "usr/lib/wsl/lib/nvidia-smi")
    program = root / "usr/lib/wsl/lib/nvidia-smi"
    program.write_text("#!/bin/sh\necho 'RTX 4080, 16376 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setattr(wsl, "NVIDIA_SMI", str(program))
    found = Wsl(2, KERNEL_2, True, True, True, 0, ())
    assert checks.gpu(found) == Finding("GPU", State.OK, "RTX 4080, 16376 MiB, through Windows")


def test_the_doctor_looks_at_wsl_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.settings import load

    monkeypatch.setattr(wsl, "found", lambda: Wsl(2, KERNEL_2, True, False, False, 2**34, ()))
    settings = load(None, {"TROUPE_HOME": str(tmp_path), "TROUPE_HTTP_PORT": "0", "TROUPE_GRPC_PORT": "0"})
    names = [finding.name for finding in checks.every(settings)]
    assert names.index("WSL") < names.index("GPU")
