#!/usr/bin/env python3
"""Real AWS clients against a real broker: starts `symbolon dev`, reads its env file, and runs the test modules.

`run.py [MODULE[.CLASS[.TEST]]…]` runs some of them. The binary must have been built.
"""

import os
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True

import broker as brokers
import support

MODULES = [
    "developer_flow",
    "developer_users",
    "identity_pools",
    "roles",
    "principal_tags",
    "tags",
    "terraform",
    "openid_connect_providers",
    "credentials",
    "public_logins",
    "social_logins",
    "saml_logins",
    "tenants",
    "auth_errors",
    "protocol",
    "model_violations",
    "command_line",
    "javascript",
    "browser",
]


def internal_errors(broker):
    """What the broker's own count says of answers with 500: there must be none, whatever was sent."""
    with urllib.request.urlopen(f"{broker.admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("symbolon_requests_total{")]
    if not counts:
        return ["the broker has counted no request"]
    return [line for line in counts if "InternalErrorException" in line or "ServiceFailure" in line]


def run(names):
    """The results of the tests, and what went wrong when the broker ended."""
    problems = []
    with tempfile.TemporaryDirectory(prefix="symbolon-clients-") as folder:
        home, data = Path(folder, "home"), Path(folder, "data")
        home.mkdir()
        support.broker = brokers.dev(data, home)
        try:
            # From here on this process has the env file, and no other configuration.
            environment = brokers.sourced(data / "env", home)
            os.environ.clear()
            os.environ.update(environment)
            suite = unittest.defaultTestLoader.loadTestsFromNames(names)
            result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
            problems += internal_errors(support.broker)
        finally:
            code = support.broker.stop()
    problems += [] if code == 0 else [f"symbolon dev ended with {code} at SIGTERM"]
    problems += [line for line in support.broker.log().splitlines() if "panicked" in line]
    if problems or not result.wasSuccessful():
        print(f"\nThe end of the broker's log:\n{''.join(support.broker.stderr[-15:])}")
    return result, problems


def main():
    started = time.monotonic()
    result, problems = run(sys.argv[1:] or MODULES)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + len(problems)
    passed = result.testsRun - len({str(test) for test, _ in result.failures + result.errors})
    for problem in problems:
        print(problem)
    print(f"{time.monotonic() - started:.1f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
