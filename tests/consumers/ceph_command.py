"""Sends one command to the monitors of a Ceph cluster, for want of the `ceph` command: CONF JSON."""

import ctypes
import sys

NO_FSID = b"00000000-0000-0000-0000-000000000000"


def main():
    rados = ctypes.CDLL("librados.so.2")
    cluster = ctypes.c_void_p()
    conf, command = (argument.encode() for argument in sys.argv[1:])

    def good(code, what, more=b""):
        if code < 0:
            sys.exit(f"{what}: {-code} {more.decode(errors='replace')}")

    good(rados.rados_create(ctypes.byref(cluster), b"admin"), "rados_create")
    good(rados.rados_conf_read_file(cluster, conf), "rados_conf_read_file")
    good(rados.rados_connect(cluster), "rados_connect")
    # Connected, it may not have the cluster's id yet, and the monitor refuses a command with another ("wrong fsid").
    fsid = ctypes.create_string_buffer(64)
    while fsid.value in (b"", NO_FSID):
        good(rados.rados_cluster_fsid(cluster, fsid, len(fsid)), "rados_cluster_fsid")
    commands = (ctypes.c_char_p * 1)(command)
    answer, text = ctypes.c_char_p(), ctypes.c_char_p()
    lengths = [ctypes.c_size_t(), ctypes.c_size_t()]
    code = rados.rados_mon_command(
        cluster,
        commands,
        ctypes.c_size_t(1),
        None,
        ctypes.c_size_t(0),
        ctypes.byref(answer),
        ctypes.byref(lengths[0]),
        ctypes.byref(text),
        ctypes.byref(lengths[1]),
    )
    good(code, command.decode(), ctypes.string_at(text, lengths[1].value))
    print(ctypes.string_at(answer, lengths[0].value).decode())
    # Its threads must not outlive what they use.
    rados.rados_shutdown(cluster)


main()
