"""Our relay and derper in turn: ten busy pairs of 1,400-byte packets over TLS.

``python -m tests.bench.relay [--rounds N] [--secs S]`` prints a table and writes
build/bench/relay.json. Both run on this machine together with the load generator, so only figures
of one run compare.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from appliance.relay.certificates import self_signed
from tests.bench.load import MissingError, load_program, run_load
from tests.bench.report import Row, Target, publish, row
from tests.support.peers import find_peer

PAIRS: Final = 10
OFFERED: Final = {
    "500 Mbit/s offered": 500,
    "1,150 Mbit/s offered": 1150,
    "2,000 Mbit/s offered": 2000,
    "as fast as it goes": 0,
}
GOODPUT: Final = {
    "1,150 Mbit/s offered": Target(at_least=1100, ratio_at_least=1.0),
    "2,000 Mbit/s offered": Target(at_least=1100, ratio_at_least=2.0),
    "as fast as it goes": Target(at_least=1100, ratio_at_least=2.0),
}
CPU: Final = {"1,150 Mbit/s offered": Target(at_most=10)}

CONFIG: Final = """\
host = "127.0.0.1"
state_directory = "{directory}/state"
listen = ["127.0.0.1:{port}"]
listen_stun = []
certificate = "{directory}/127.0.0.1.crt"
key = "{directory}/127.0.0.1.key"
[admission]
anyone = true
"""

Sample = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0 also when it cannot run here, which it says."""
    parser = argparse.ArgumentParser(prog="tests.bench.relay")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=int, default=5)
    options = parser.parse_args(argv)
    try:
        load, derper = load_program(), peer_program()
    except MissingError as missing:
        print(f"skipped: relay benchmark: {missing}")
        return 0
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name:
        samples = measure(load, derper, Path(name), options.rounds, options.secs)
    rows = [line for what in OFFERED for line in rows_of(what, *samples[what])]
    notes = [
        f"{PAIRS} pairs, 1,400-byte packets, TLS; {options.rounds} rounds of {options.secs} s",
        f"load average before: {busy:.2f} (the targets are for an idle machine)",
    ]
    publish("relay", rows, notes=notes)
    return 0 if all(line.met is not False for line in rows) else 1


def peer_program() -> Path:
    """The reference relay."""
    derper = find_peer("derper")
    if derper is None:
        raise MissingError("derper is not installed (`make peers` installs it)")
    return derper


def measure(
    load: Path, derper: Path, directory: Path, rounds: int, secs: int
) -> dict[str, tuple[list[Sample], list[Sample]]]:
    """Run every load on both relays in turn, each time on a fresh process."""
    certificate, key = self_signed("127.0.0.1")
    (directory / "127.0.0.1.crt").write_bytes(certificate)
    (directory / "127.0.0.1.key").write_bytes(key)
    samples: dict[str, tuple[list[Sample], list[Sample]]] = {what: ([], []) for what in OFFERED}
    for number in range(rounds):
        for what, mbit in OFFERED.items():
            for index, start in enumerate((ours, theirs)):
                sample = one_run(load, start(directory, derper), directory, mbit, secs)
                samples[what][index].append(sample)
            got, peer = (f"{samples[what][i][-1]['goodput_mbit']:.0f}" for i in (0, 1))
            print(f"round {number + 1}: {what}: {got} and derper {peer} Mbit/s", flush=True)
    return samples


def ours(directory: Path, derper: Path) -> tuple[list[str], int]:
    """The command of our relay, and its port."""
    del derper
    port = free_port()
    config = directory / "relay.toml"
    config.write_text(CONFIG.format(directory=directory, port=port))
    return [sys.executable, "-m", "appliance.relay", "--config", str(config)], port


def theirs(directory: Path, derper: Path) -> tuple[list[str], int]:
    """The command of derper, and its port."""
    port = free_port()
    options = {
        "-a": f"127.0.0.1:{port}",
        "-http-port": "-1",
        "-hostname": "127.0.0.1",
        "-certmode": "manual",
        "-certdir": str(directory),
        "-c": str(directory / "derper.json"),
    }
    return [str(derper), "-stun=false", *(word for pair in options.items() for word in pair)], port


def one_run(
    load: Path, server: tuple[list[str], int], directory: Path, mbit: int, secs: int
) -> Sample:
    """Start a relay, drive it, stop it."""
    command, port = server
    with running(command, port, directory / "server.log") as pid:
        arguments = {
            "-url": f"https://127.0.0.1:{port}/derp",
            "-pairs": str(PAIRS),
            "-secs": str(secs),
            "-mbit": str(mbit),
            "-pid": str(pid),
        }
        words = [word for pair in arguments.items() for word in pair]
        return run_load(load, directory / "127.0.0.1.crt", "relay", *words)


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[int]:
    """Run a server until the block ends; its process number once it listens."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for_port(port, process, log)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + 20
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the relay did not start:\n{log.read_text()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def rows_of(what: str, own: list[Sample], peer: list[Sample]) -> list[Row]:
    """The rows of one load."""

    def line(name: str, unit: str, key: str, target: Target | None = None) -> Row:
        values = [[float(sample[key]) for sample in samples] for samples in (own, peer)]
        return row(f"{name}, {what}", unit, *values, target=target)

    return [
        line("delivered", "Mbit/s", "goodput_mbit", GOODPUT.get(what)),
        line("relay CPU a packet", "us", "server_us_per_packet", CPU.get(what)),
        line("one way, median", "ms", "p50_ms"),
        line("one way, 99th percentile", "ms", "p99_ms"),
        line("relay memory (PSS)", "MB", "pss_mb"),
    ]


if __name__ == "__main__":
    sys.exit(main())
