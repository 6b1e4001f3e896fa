"""Who reaches whom: all pairs at once by raw echo requests, and the longest silence of one pair by ping."""

import os
import re
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import time

from lab_net import in_netns

REPLY_SECONDS = 0.5


def unreachable(sites, deadline_seconds, progress=None):
    """Asks every LAN host of every other, IPv4 and IPv6, until all have answered or the time is over.
    Returns the pairs that never did: a sorted list of (from, to, family)."""
    with_sockets = [(site, lan_sockets(site)) for site in sites]
    selector = selectors.DefaultSelector()
    for site, both in with_sockets:
        for family, sock in both.items():
            selector.register(sock, selectors.EVENT_READ, (site, family))
    by_address = {s.lan4: s for s in sites} | {s.lan6: s for s in sites}
    pending = {(a.number, b.number, family) for a in sites for b in sites if a is not b for family in (4, 6)}
    deadline = time.monotonic() + deadline_seconds
    try:
        while pending and time.monotonic() < deadline:
            for site, both in with_sockets:
                for family, sock in both.items():
                    ask(sock, family, [b for b in sites if (site.number, b.number, family) in pending])
                    collect(selector, by_address, pending, 0)
            collect(selector, by_address, pending, REPLY_SECONDS)
            if progress:
                progress(len(pending))
    finally:
        selector.close()
        for _, both in with_sockets:
            for sock in both.values():
                sock.close()
    return [(f"site{a}", f"site{b}", family) for a, b, family in sorted(pending)]


def lan_sockets(site):
    with in_netns(site.lan_ns):
        four = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        six = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    return {4: four, 6: six}


def ask(sock, family, targets):
    kind = 8 if family == 4 else 128
    request = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1)
    if family == 4:  # the kernel fills in the checksum of ICMPv6 only
        total = sum(struct.unpack("!4H", request))
        total = (total & 0xFFFF) + (total >> 16)
        request = request[:2] + struct.pack("!H", ~total & 0xFFFF) + request[4:]
    for target in targets:
        try:
            sock.sendto(request, (target.lan4 if family == 4 else target.lan6, 0))
        except OSError:  # no route yet: asked again in the next round
            pass


def collect(selector, by_address, pending, seconds):
    """Takes answers for `seconds`, or until nothing is pending; with 0 only those already here."""
    until = time.monotonic() + seconds
    while pending:
        ready = selector.select(max(0.0, until - time.monotonic()))
        for key, _ in ready:
            site, family = key.data
            answer, sender = key.fileobj.recvfrom(2048)
            message = answer[(answer[0] & 0x0F) * 4:] if family == 4 else answer
            kind, _, _, ident, _ = struct.unpack("!BBHHH", message[:8])
            other = by_address.get(sender[0])
            if kind == (0 if family == 4 else 129) and ident == os.getpid() & 0xFFFF and other:
                pending.discard((site.number, other.number, family))
        if not ready:
            return


class Pinging:
    """A ping every 20 ms from one LAN host to another, from now until stop()."""

    INTERVAL_MS = 20
    REPLY = re.compile(r"^\[(\d+\.\d+)\] \d+ bytes from .*icmp_seq=(\d+)", re.M)
    TOTALS = re.compile(r"(\d+) packets transmitted, (\d+) received")

    def __init__(self, site, address):
        self.output = tempfile.TemporaryFile(mode="w+")  # nobody reads meanwhile: a full pipe would stop the pings
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", site.lan_ns, "ping", "-n", "-D", "-i", str(self.INTERVAL_MS / 1000), address],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def stop(self):
        """Returns {"sent", "lost", "gap_ms"}: the longest time without an answer, 20 when none is missing. A
        request still under way at the end is not lost, unless nothing came for 100 ms."""
        stopped = time.time()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.output.seek(0)
        said = self.output.read()
        self.output.close()
        replies = [(float(stamp), int(number)) for stamp, number in self.REPLY.findall(said)]
        totals = self.TOTALS.search(said)
        sent, received = (int(n) for n in totals.groups()) if totals else (0, 0)
        if not replies:
            return {"sent": sent, "lost": sent, "gap_ms": None}
        times = [stamp for stamp, _ in replies] + [stopped]
        gap = max(b - a for a, b in zip(times, times[1:]))
        answered_last = stopped - times[-2] < 0.1
        lost = (replies[-1][1] if answered_last else sent) - received
        return {"sent": sent, "lost": max(0, lost), "gap_ms": round(gap * 1000)}
