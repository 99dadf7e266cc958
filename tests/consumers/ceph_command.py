"""Sends one command to the monitors of a Ceph cluster, for want of the `ceph` command: CONF JSON."""

import ctypes
import sys


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
    good(code, command.decode(), text.value or b"")
    print((answer.value or b"")[: lengths[0].value].decode())


main()
