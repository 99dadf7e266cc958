#!/usr/bin/env python3
"""Real consumers of our tokens against a real broker: an object store, and verifiers in four languages.

`run.py [MODULE[.CLASS[.TEST]]…]` runs some of them. The binary must have been built, and the consumers installed.
"""

import os
import signal
import sys
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parents[1] / "clients"))

MODULES = ["verifiers", "storage", "trusting"]


def main():
    started = time.monotonic()
    # Whoever ends this run ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Nothing of the caller's AWS configuration reaches the clients of this process.
    for name in [name for name in os.environ if name.startswith(("AWS_", "SYMBOLON__"))]:
        del os.environ[name]
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
    result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    passed = result.testsRun - len({str(test) for test, _ in result.failures + result.errors})
    print(f"{time.monotonic() - started:.1f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
