"""Hosts of their own on one machine: each has its address, processes, `/tmp`, home and SSH server, so that a
cluster can be launched over them, one of them killed and its cable cut. They share the rest of the disk."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

BRIDGE, NET = "scantbr0", "10.78.0"
GATEWAY = f"{NET}.1"
"""Address of the machine itself in the hosts' network."""
NEEDED = ("ip", "ssh", "ssh-keygen", "sshd", "rsync", "unshare", "nsenter")
SSH = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=3")
ROOT = Path(__file__).parents[3]


def lacking() -> str:
    """Why there can be no hosts here; empty where there can."""
    paths = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=paths) is None]
    if os.geteuid() or missing:
        lacks = ", ".join(missing) or "nothing else"
        return f"needs root, and of programs {lacks} (Debian: iproute2 openssh-server rsync)"
    made = subprocess.run(["ip", "netns", "add", "scantry"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "scantry"], capture_output=True)
    return f"no network namespaces here ({made.stderr.strip()})" if made.returncode else ""


class Hosts:
    """So many hosts, named host1, host2, …; `folder` holds the SSH key and what each has of its own."""

    def __init__(self, count: int, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder, self.count = folder, count
        self.key = folder / "key"
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        for name in ("key", "hostkey"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        shutil.copy(folder / "key.pub", folder / "authorized")
        settings = {
            "HostKey": folder / "hostkey",
            "AuthorizedKeysFile": folder / "authorized",
            "PasswordAuthentication": "no",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "MaxStartups": "100",
            "SetEnv": " ".join(f"{name}={value}" for name, value in variables.items()),
        }
        (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        Path("/run/sshd").mkdir(exist_ok=True)
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        for number in range(1, count + 1):
            self.start(number)

    def address(self, number: int) -> str:
        return f"{NET}.{10 + number}"

    def start(self, number: int) -> None:
        """Switch a host on; its home is as it left it. Returns when it answers."""
        space, link = f"scant{number}", f"scantv{number}"
        _run("ip", "netns", "add", space)
        card = f"02:00:00:00:00:{number:02x}"  # the same after a restart: others remember it
        peer = ["peer", "name", "eth0", "address", card, "netns", space]
        _run("ip", "link", "add", link, "type", "veth", *peer)
        _run("ip", "link", "set", link, "master", BRIDGE, "up")
        for words in (
            f"addr add {self.address(number)}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
            f"route add default via {GATEWAY}",
        ):
            _run("ip", "netns", "exec", space, "ip", *words.split())
        script = self.folder / f"start{number}.sh"
        script.write_text(self._script(number))
        apart = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--mount", "bash", "-eu", str(script)]
        with (self.folder / f"host{number}.log").open("ab") as log:
            words = ["ip", "netns", "exec", space, *apart]
            self.running[number] = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        self._wait(number)

    def _script(self, number: int) -> str:
        """What the first process of a host does: a home and a `/tmp` of its own, in which what this project
        runs from stays where it is, then its SSH server."""
        own, lines = self.folder / f"disk{number}", ["mount --make-rprivate /", f"hostname host{number}"]
        shutil.rmtree(own / "tmp", ignore_errors=True)
        for place in (Path.home(), Path("/tmp")):
            mine = own / place.name
            mine.mkdir(parents=True, exist_ok=True)
            for kept in (Path(sys.base_prefix), Path(sys.prefix), ROOT, self.folder):
                if kept.is_relative_to(place):
                    inside = mine / kept.relative_to(place)
                    inside.mkdir(parents=True, exist_ok=True)
                    lines.append(f"mount --rbind {kept} {inside}")
            lines.append(f"mount --rbind {mine} {place}")
        lines.append(f"exec $(command -v sshd || echo /usr/sbin/sshd) -D -e -f {self.folder}/sshd_config")
        return "\n".join(lines) + "\n"

    def _wait(self, number: int) -> None:
        end = time.monotonic() + 20
        while self.ssh(number, "true").returncode:
            if time.monotonic() > end:
                raise AssertionError((self.folder / f"host{number}.log").read_text())
            time.sleep(0.2)

    def ssh(self, number: int, command: str) -> subprocess.CompletedProcess[str]:
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=3",
        ]
        flags = [word for option in options for word in ("-o", option)]
        words = ["ssh", "-i", str(self.key), *flags, f"root@{self.address(number)}", command]
        return subprocess.run(words, capture_output=True, text=True)

    def kill(self, number: int) -> None:
        """The host's power is cut: all its processes end at once."""
        starter = self.running.pop(number)
        below = subprocess.run(
            ["pgrep", "-P", str(starter.pid)], capture_output=True, text=True
        ).stdout.split()
        for pid in [*map(int, below), starter.pid]:  # the first process of a host takes all others with it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        starter.wait()
        _run("ip", "link", "del", f"scantv{number}")
        _run("ip", "netns", "del", f"scant{number}")

    def cut(self, number: int) -> None:
        _run("ip", "link", "set", f"scantv{number}", "down")

    def mend(self, number: int) -> None:
        _run("ip", "link", "set", f"scantv{number}", "up")

    def end(self) -> None:
        for number in list(self.running):
            self.kill(number)
        _run("ip", "link", "del", BRIDGE)


@contextlib.contextmanager
def hosts(count: int, folder: Path, variables: Mapping[str, str]) -> Iterator[Hosts]:
    """Hosts that end with the block, and those that an earlier one left."""
    clean()
    folder.mkdir(parents=True, exist_ok=True)
    made = Hosts(count, folder, variables)
    try:
        yield made
    finally:
        made.end()


def clean() -> None:
    """Remove what a killed run left of its network."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for space in (line.split()[0] for line in listed.splitlines() if line.startswith("scant")):
        pids = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True).stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", space], capture_output=True)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)


def _run(*words: str) -> None:
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise AssertionError(f"{shlex.join(words)}: {ended.stderr.strip()}")
