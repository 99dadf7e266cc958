"""Where JavaScript runs: a folder with the tests' scripts, the files of the guide, and the installed packages."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import broker as brokers

SCRIPTS = Path(__file__).resolve().parent / "js"
GUIDE = brokers.ROOT / "docs/how-to/javascript.md"
PACKAGES = Path(sys.prefix, "js/node_modules")


def files_of_the_guide():
    """The guide's blocks of JavaScript by the names that their first lines give them."""
    blocks = re.findall(r"^```js\n(// (\S+\.mjs): .*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return {name: block for block, name in blocks}


class Workplace:
    """A folder to run scripts in, gone with `close`. Node finds packages beside the script, hence the copies."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="symbolon-javascript-")
        self.path = Path(self._folder.name)
        shutil.copytree(SCRIPTS, self.path, dirs_exist_ok=True)
        (self.path / "node_modules").symlink_to(PACKAGES)
        (self.path / "guide").mkdir()
        for name, text in files_of_the_guide().items():
            (self.path / "guide" / name).write_text(text)

    def close(self):
        self._folder.cleanup()

    def environment(self, credentials=True):
        """This process's, which is the env file; the home is the folder. Without access key if not `credentials`."""
        secret = () if credentials else ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return {name: value for name, value in os.environ.items() if name not in secret} | {"HOME": str(self.path)}

    def run(self, script, credentials=True, **arguments):
        """Runs a script to its good end with the arguments as JSON; gives what it printed, which is JSON."""
        done = subprocess.run(
            ["node", script, json.dumps(arguments)],
            cwd=self.path,
            env=self.environment(credentials),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise AssertionError(f"{script} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)
