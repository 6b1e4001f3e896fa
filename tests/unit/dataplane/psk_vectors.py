#!/usr/bin/python3
"""Prints the rows of psk_vectors.h: pre-shared keys computed without libsodium, from RFC 7748 and hashlib."""
import hashlib
import struct

P = 2**255 - 19
BASE = (9).to_bytes(32, "little")


def x25519(scalar, point):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") & ((1 << 255) - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = (x2 + z2) % P, (x2 - z2) % P, (x3 + z3) % P, (x3 - z3) % P
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = (aa - bb) % P
        x3, z3 = pow(da + cb, 2, P), x1 * pow(da - cb, 2, P) % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def row(own, peer, log, one, other, epoch):
    peer_public = x25519(peer, BASE)
    shared = x25519(own, peer_public)
    assert shared == x25519(peer, x25519(own, BASE))
    message = b"meshlog/psk/1" + log + struct.pack("<IIQ", min(one, other), max(one, other), epoch)
    assert len(message) == 45
    psk = hashlib.blake2b(message, key=shared, digest_size=32).digest()
    strings = ",\n     ".join('"%s"' % part.hex() for part in (own, peer, peer_public, log))
    print("    {%s,\n     %du, %du, %dull,\n     \"%s\"}," % (strings, one, other, epoch, psk.hex()))


# RFC 7748, section 5.2, first vector.
assert x25519(
    bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
    bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"

K1, K2, K3, K4 = bytes(range(32)), bytes(range(32, 64)), b"\xff" * 32, hashlib.sha256(b"meshlog").digest()
LOG, ZERO = bytes(range(0xA0, 0xB0)), bytes(16)
row(K1, K2, LOG, 11, 12, 0)
row(K1, K2, LOG, 11, 12, 1)
row(K1, K2, ZERO, 11, 12, 1)
row(K3, K4, LOG, 2**32 - 1, 0x12345678, 0x0123456789ABCDEF)
row(K4, K1, LOG, 10010, 300, 2**64 - 1)
