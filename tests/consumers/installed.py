"""The consumers that .ci/install-consumers unpacked: where their programs are, and how they are run and ended."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import broker as brokers

FOLDER = brokers.ROOT / "target/consumers"
PREFIX = FOLDER / "prefix"

PATIENCE = 90.0


def libraries():
    """Folders of the prefix with shared libraries, for LD_LIBRARY_PATH."""
    patterns = ("lib/*-linux-gnu", "usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/ceph")
    return [str(folder) for pattern in patterns for folder in sorted(PREFIX.glob(pattern))]


def environment(home):
    """What programs of the prefix run with: none of the caller's configuration."""
    path = [str(PREFIX / "usr/bin"), str(PREFIX / "usr/sbin"), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    return {
        "PATH": os.pathsep.join(path),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries()),
        "HOME": str(home),
        "LANG": "C.UTF-8",
    }


def wait_for(condition, what, patience=PATIENCE):
    """The first true value of the condition."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {patience:.0f} s in vain for {what}")


def free_port():
    """A port of loopback that nobody has, and that is not given to connections."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port on loopback")


def listens(port):
    """Whether somebody takes connections at this port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def status(url, headers=None):
    """The status of the answer to a GET; None if nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


def bound():
    """What a command begins with that shall end with this process, even if that is killed."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Program:
    """A program in the background that writes its output to a file. It ends with `stop`, or else with this process."""

    def __init__(self, name, command, log, env):
        self.name, self.log = name, Path(log)
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*bound(), *command], env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def wait_for(self, condition, what):
        """The first true value of the condition; fails at once if the program ends."""

        def found():
            if (code := self.process.poll()) is not None:
                raise AssertionError(f"{self.name} ended with {code}\n{self.tail()}")
            return condition()

        try:
            return wait_for(found, f"{self.name} {what}")
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.tail()}") from None

    def tail(self, lines=25):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(command, env, timeout=PATIENCE):
    """Runs a command to its good end; gives what it printed."""
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
