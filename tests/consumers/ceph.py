"""Ceph on loopback, in memory: a monitor, a store and an object gateway (RGW) with STS, from the unpacked packages."""

import json
import secrets
import sys
import uuid
from pathlib import Path

import installed
from installed import Program, free_port

COMMAND = Path(__file__).resolve().parent / "ceph_command.py"

# Ceph writes a tenant's name where AWS has the account number, and so can be told the number of ours.
TENANT = "000000000000"

CONF = """\
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
mon initial members = a
monmap = {scratch}/monmap
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd pool default pg num = 4
osd pool default pgp num = 4
mon max pg per osd = 1000
ms bind msgr2 = false
log file = {scratch}/$name.log
mon cluster log to file = false
# Else the monitor ends without a word where the disk is nearly full.
mon data avail warn = 0
mon data avail crit = 0
run dir = {scratch}
admin socket = {scratch}/$name.asok
plugin dir = {plugins}
erasure code dir = {plugins}/erasure-code
osd class dir = {classes}
osd objectstore = memstore
memstore device bytes = 1073741824
osd data = {scratch}/osd.0
mon data = {scratch}/mon.a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[client.rgw]
# Behind its other frontend it may miss that the answer with our keys has come, about once in a thousand times, and then
# never answers: https://github.com/ceph/ceph/pull/57632
rgw frontends = civetweb port=127.0.0.1:{port}
rgw sts key = {sts_key}
rgw s3 auth use sts = true
rgw data = {scratch}
rgw run sync thread = false
rgw enable gc threads = false
rgw enable lc threads = false
debug rgw = 1
"""


class Ceph:
    """The cluster. `endpoint` answers S3, STS and IAM; the user `access_key` administers roles of the tenant."""

    def __init__(self, scratch):
        self.scratch = Path(scratch)
        self.scratch.mkdir()
        self.env = installed.environment(self.scratch)
        self.access_key, self.secret = secrets.token_hex(10), secrets.token_hex(20)
        self.programs = []
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        try:
            self._start(port)
        except BaseException:
            self.stop()
            raise

    def _start(self, port):
        fsid, osd, mon_port = str(uuid.uuid4()), str(uuid.uuid4()), free_port()
        libraries = next(installed.PREFIX.glob("usr/lib/*-linux-gnu/ceph"), Path("/usr/lib/ceph"))
        self.conf = self.scratch / "ceph.conf"
        self.conf.write_text(
            CONF.format(
                fsid=fsid,
                mon_port=mon_port,
                port=port,
                scratch=self.scratch,
                plugins=libraries,
                classes=libraries.parent / "rados-classes",
                sts_key=secrets.token_hex(8),
            )
        )
        for folder in ("mon.a", "osd.0"):
            (self.scratch / folder).mkdir()
        monmap = str(self.scratch / "monmap")
        address = f"[v1:127.0.0.1:{mon_port}]"
        installed.run(["monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, monmap], self.env)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        monitor = self._spawn("ceph-mon", "-i", "a")
        monitor.wait_for(lambda: installed.listens(mon_port), "to listen")
        self._tell("osd new", uuid=osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        # Told by the monitor who it is, they may give it a first command before they know its cluster's id.
        self._spawn("ceph-osd", "-i", "0", "--no-mon-config")
        gateway = self._spawn("radosgw", "-n", "client.rgw", "--no-mon-config")
        # Makes the pools too, as the gateway would; whoever is second finds them.
        gateway.wait_for(lambda: installed.status(self.endpoint), "to answer")
        user = ["--tenant", TENANT, "--uid", "admin"]
        keys = ["--access-key", self.access_key, "--secret", self.secret]
        self._run("radosgw-admin", "user", "create", *user, "--display-name", "admin", *keys)
        self._run("radosgw-admin", "caps", "add", *user, "--caps", "oidc-provider=*;roles=*")

    def _arguments(self, program, *arguments):
        return [program, "--conf", str(self.conf), *arguments]

    def _run(self, program, *arguments):
        return installed.run(self._arguments(program, *arguments), self.env)

    def _spawn(self, program, *arguments):
        log = self.scratch / f"{program}.out"
        self.programs.append(Program(program, self._arguments(program, "--foreground", *arguments), log, self.env))
        return self.programs[-1]

    def _tell(self, prefix, **arguments):
        """A command to the monitor."""
        command = json.dumps({"prefix": prefix, **arguments})
        return installed.run([sys.executable, str(COMMAND), str(self.conf), command], self.env)

    def gateway_log(self):
        """What the gateway has written."""
        return (self.scratch / "client.rgw.log").read_text(errors="replace")

    def log(self, lines=15):
        """The end of what the daemons have written."""
        found = []
        for path in sorted([*self.scratch.glob("*.out"), *self.scratch.glob("*.log")]):
            text = path.read_text(errors="replace").splitlines()[-lines:]
            found += [f"--- {path.name}", *text] if text else []
        return "\n".join(found)

    def stop(self):
        for program in reversed(self.programs):
            program.stop()
