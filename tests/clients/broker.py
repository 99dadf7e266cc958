"""Brokers that the tests start: what a user would start, and stopped as a user would stop them."""

import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/debug/symbolon"

# Of the caller's environment only this much reaches brokers and clients.
KEPT = ("PATH", "SYMBOLON_PG_BIN", "TMPDIR")

PATIENCE = 60.0


class Broker:
    """A `symbolon` that serves, with what it printed so far."""

    def __init__(self, arguments, environment, name):
        self.name = name
        self.stdout, self.stderr = [], []
        self.process = subprocess.Popen(
            [str(BINARY), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [self._read(self.process.stdout, self.stdout), self._read(self.process.stderr, self.stderr)]
        try:
            line = self._wait(lambda: re.search(r"serving listen=(\S+) admin=(\S+)", self.log()), "to serve")
            self.endpoint, self.admin = f"http://{line[1]}", f"http://{line[2]}"
            self._wait(self._is_ready, "to be ready")
        except BaseException:
            self.process.kill()
            raise

    @staticmethod
    def _read(stream, into):
        thread = threading.Thread(target=lambda: into.extend(stream), daemon=True)
        thread.start()
        return thread

    def log(self):
        return "".join(self.stderr)

    def printed(self):
        return "".join(self.stdout)

    def _wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            if found := condition():
                return found
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} was waited for {what}; exit {self.process.poll()}\n{self.log()}")

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"{self.admin}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for reader in self._readers:
                reader.join(timeout=5)


def bare_environment(home):
    """An environment without any configuration of AWS clients or of the broker."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"HOME": str(home), "LANG": "C.UTF-8"}


def sourced(env_file, home):
    """The bare environment after a shell has read the env file, and nothing else."""
    # The clients' own commands come first, as in an activated environment.
    commands = str(Path(os.sys.executable).parent)
    start = bare_environment(home)
    start["PATH"] = f"{commands}:{start.get('PATH', os.defpath)}"
    shell = subprocess.run(
        ["sh", "-c", ". ./env && env -0"], cwd=Path(env_file).parent, env=start, stdout=subprocess.PIPE, check=True
    )
    pairs = (entry.split("=", 1) for entry in shell.stdout.decode().split("\0") if entry)
    return {name: value for name, value in pairs if name not in ("PWD", "OLDPWD", "SHLVL", "_")}


def dev(data_dir, home, **settings):
    """A throw-away broker: nothing but the settings given, as variables of its environment."""
    arguments = ["dev", "--ephemeral", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    return Broker([*arguments, "--data-dir", str(data_dir)], bare_environment(home) | settings, "symbolon dev")


def serve(**settings):
    """A second broker: nothing but the env file, which is this process's environment, and the settings given."""
    arguments = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    return Broker(arguments, dict(os.environ) | settings, "symbolon serve")
