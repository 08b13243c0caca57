"""Kernels of another build, on another CPU or a simulated one: `_core` asks tests/cpp/kernel_server.cpp to run them.

NACRE_KERNEL_SERVER names the command, such as `qemu-x86_64 -cpu Nehalem build/bin/nacre_kernel_server`; the tests of
kernels then ask that process instead of the extension module. `python3 dev.py foreign` does so for every such CPU.
"""

import atexit
import itertools
import shlex
import struct
import subprocess

import numpy as np

from nacre import _core


class Server:
    """What `_core` offers for single kernels, from another process."""

    def __init__(self, command):
        self.command = shlex.split(command)
        self.described = _core.kernels()
        self.local_facts = _core.facts
        self.start()
        atexit.register(self.stop)

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.names = self.text().split()

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()

    # --- words, texts and bytes --------------------------------------------------------------------------

    def read(self, n):
        data = self.process.stdout.read(n)
        if len(data) != n:
            status = self.stop()
            self.start()  # the next test has a server again
            raise RuntimeError(f"the kernel server stopped with status {status}")
        return data

    def word(self):
        return struct.unpack("=q", self.read(8))[0]

    def text(self):
        return self.read(self.word()).decode()

    @staticmethod
    def packed_words(words):
        return struct.pack(f"={len(words) + 1}q", len(words), *words)

    def send(self, request, name, isa, shape, *parts):
        head = [struct.pack("=q", request)]
        for text in (name, isa or self.names[-1]):
            head += [struct.pack("=q", len(text)), text.encode()]
        self.process.stdin.write(b"".join([*head, self.shape_words(name, shape), *parts]))
        self.process.stdin.flush()

    def shape_words(self, name, shape):
        self.local_facts(name, shape)  # refuses missing and unknown fields
        data = b""
        for field, count, kind in self.described[name]["fields"]:
            values = [shape[field]] if count == 1 else shape[field]
            data += struct.pack(f"={count}{'d' if kind == 'f' else 'q'}", *values)
        return struct.pack("=q", len(data) // 8) + data

    # --- as in _core -------------------------------------------------------------------------------------

    def isas(self):
        return list(self.names)

    def kernels(self, isa=None):
        return self.described

    def facts(self, name, shape, isa=None):
        self.send(1, name, isa, shape)
        error, units, scratch = self.text(), self.word(), self.word()
        flops = struct.unpack("=d", self.read(8))[0]
        extents = [self.word() for _ in range(self.word())]
        return {
            "error": error or None,
            "units": units,
            "scratch": scratch,
            "flops": flops,
            "extents": [None if e < 0 else e for e in extents],
        }

    def run_kernel(self, name, shape, inputs, outputs, isa=None, slices=None):
        units = 0 if isinstance(slices, list) else self.facts(name, shape, isa)["units"]
        if not isinstance(slices, list):
            used = min(slices or 1, max(units, 1))
            ends = [units * i // used for i in range(used + 1)]
            slices = list(itertools.pairwise(ends))
        sides = {"in": list(inputs), "out": list(outputs)}
        arrays = [sides[side].pop(0) for _, side in self.described[name]["operands"]]
        assert not sides["in"] and not sides["out"], f"{name} takes fewer operands"
        places, buffers, operands = {}, [], []
        for array in arrays:  # the same memory is the same buffer
            if array is None:
                operands.append(-1)
                continue
            assert array.flags.c_contiguous
            key = (array.__array_interface__["data"][0], array.nbytes) if array.nbytes else (len(places), 0)
            if key not in places:
                places[key] = len(buffers)
                buffers += [struct.pack("=q", array.nbytes), array.tobytes()]
            operands.append(places[key] // 2)
        self.send(
            2,
            name,
            isa,
            shape,
            self.packed_words([edge for pair in slices for edge in pair]),
            struct.pack("=q", len(buffers) // 2),
            *buffers,
            self.packed_words(operands),
        )
        error = self.text()
        if error:
            raise ValueError(error)
        for array, (_, side) in zip(arrays, self.described[name]["operands"]):
            if array is not None and side == "out":
                array.reshape(-1).view(np.uint8)[:] = np.frombuffer(self.read(array.nbytes), np.uint8)


def install(command):
    """From here on `_core` asks the server."""
    server = Server(command)
    for name in ("isas", "kernels", "facts", "run_kernel"):
        setattr(_core, name, getattr(server, name))
