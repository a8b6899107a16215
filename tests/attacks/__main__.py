"""Attacks a daemon, one way after the other, and shows what a bystander notices.

    python3 tests/attacks target/release/ssfd --seconds 20
    python3 tests/attacks target/release/ssfd h2-settings slow-bodies

Each attack has a new daemon with the default bounds on this machine. All connections are on loopback.
Needs Python 3.10 or later and `openssl`.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import introspection
import receivers
import strangers
from bystander import Bystander, ask, create_stream
from daemon import HOSTILE, Daemon, Gauge, make_certificate

# The streams of a hostile Receiver, and the events in a second that each of them gets.
STREAMS, HOSTILE_RATE = 20, 20
# Events of the bystander in a second.
CALM_RATE = 50
WARM_UP_SECONDS = 2
CALM = "none"
# How much the daemon has done, with the bystander's part.
COUNTED = ["ssfd_push_attempts_total", "ssfd_http_requests_total"]
ATTACKS = [CALM, *receivers.RECEIVERS, *strangers.STRANGERS]

processes = multiprocessing.get_context("spawn")


def start(target, *arguments):
    process = processes.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def start_server(target, *arguments):
    """Starts a process that listens. Returns it with its port."""
    port, ready = processes.Pipe(duplex=False)
    process = start(target, *arguments, ready)
    return process, port.recv()


def attack(kind, daemon, folder, publisher, seconds):
    """Runs one attack for some seconds."""
    if kind == CALM:
        time.sleep(seconds)
        return
    token = daemon.token("receiver", "--receiver", "bad", "--audience", "https://bad")
    if kind in strangers.STRANGERS:
        process = start(strangers.run, kind, daemon.public, token)
        time.sleep(seconds)
    else:
        process, port = start_server(receivers.run, kind, folder)
        for _ in range(STREAMS):
            create_stream(daemon, token, HOSTILE, f"https://localhost:{port}/in")
        began, number = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            subject = {"format": "opaque", "id": f"bad-{number}"}
            event = {"type": HOSTILE, "sub_id": subject}
            status, answer = ask(daemon.internal, "POST", "/events", publisher, event)
            if status != 202:
                raise SystemExit(f"an event is refused: {status} {answer}")
            number += 1
            time.sleep(max(0, began + number / HOSTILE_RATE - time.monotonic()))
    process.kill()
    process.join()


def milliseconds(ages, share):
    return 1000 * ages[min(len(ages) - 1, int(share * len(ages)))] if ages else float("nan")


def measure(kind, binary, seconds):
    """Returns the line of one attack."""
    with tempfile.TemporaryDirectory(prefix="ssfd-attack-") as folder:
        folder = Path(folder)
        make_certificate(folder)
        asked, port = start_server(introspection.run, folder)
        daemon = Daemon(binary, folder, port)
        try:
            bystander = Bystander(daemon, CALM_RATE)
            time.sleep(WARM_UP_SECONDS)
            memory, descriptors = daemon.memory_mib(), daemon.descriptors()
            before = [daemon.counted(metric) for metric in COUNTED]
            first, gauge = len(bystander.ages.published), Gauge(daemon)
            attack(kind, daemon, folder, bystander.publisher, seconds)
            last, used = len(bystander.ages.published), gauge.stop()
            # The last events have a moment to arrive, and the daemon has one to close the connections of the attack.
            time.sleep(3)
            ages = bystander.ages.since(first)
            line = [kind]
            for way in ("push", "poll"):
                line += [f"{milliseconds(ages[way], share):.1f}" for share in (0.5, 0.99)]
            missing = 2 * (last - first) - sum(
                sum(first <= n < last for n in at) for at in bystander.ages.arrived.values())
            line += [missing, f"{memory:.0f}", f"{gauge.memory_mib:.0f}", f"{daemon.memory_mib():.0f}",
                     descriptors, gauge.descriptors, daemon.descriptors(), f"{100 * used:.0f}"]
            line += [f"{daemon.counted(metric) - count:.0f}" for metric, count in zip(COUNTED, before)]
            bystander.stop()
        finally:
            daemon.stop()
            asked.kill()
        return [str(cell) for cell in line]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path, help="the binary `ssfd`, built with --release")
    parser.add_argument("attacks", nargs="*", default=ATTACKS, metavar="attack",
                        help=f"some of {', '.join(ATTACKS)}; all by default")
    parser.add_argument("--seconds", type=int, default=20, help="how long each attack lasts")
    given = parser.parse_args()
    if unknown := set(given.attacks) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(unknown)}")
    print("| attack | push p50 ms | p99 | poll p50 ms | p99 | missing | MiB before | most | after "
          "| descriptors before | most | after | CPU % | pushes | requests |")
    print("|---|" + "---:|" * 14)
    for kind in given.attacks:
        line = measure(kind, given.binary.resolve(), given.seconds)
        print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
