"""Vectors for the Merkle tree, notes, checkpoints and proofs, computed without our code: hashlib, the recursive
definitions of RFC 6962 written down a second time, and the openssl command for Ed25519.

usage: vectors.py > vectors.txt        vectors.py --check vectors.txt
"""
import base64
import hashlib
import pathlib
import subprocess
import sys
import tempfile

LEAVES = [b"header %d" % i for i in range(40)]
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410: an Ed25519 private key of 32 bytes follows


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(data):
    return base64.b64encode(data).decode()


def leaf(data):
    return sha256(b"\x00", data)


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(leaves):
    """RFC 6962, 2.1."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaf(leaves[0])
    k = split(len(leaves))
    return sha256(b"\x01", root(leaves[:k]), root(leaves[k:]))


def path(m, leaves):
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [root(leaves[k:])]
    return path(m - k, leaves[k:]) + [root(leaves[:k])]


def subproof(m, leaves, whole):
    """RFC 6962, 2.1.2."""
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return subproof(m, leaves[:k], whole) + [root(leaves[k:])]
    return subproof(m - k, leaves[k:], False) + [root(leaves[:k])]


class Key:
    def __init__(self, first):
        self.seed = bytes((first + i) % 256 for i in range(32))
        der = self._openssl(["pkey", "-inform", "DER", "-pubout", "-outform", "DER"], PKCS8 + self.seed)
        self.public = der[-32:]

    def _openssl(self, arguments, stdin=None):
        return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout

    def sign(self, message):
        with tempfile.TemporaryDirectory() as directory:
            key, text = pathlib.Path(directory, "key"), pathlib.Path(directory, "text")
            key.write_bytes(PKCS8 + self.seed)
            text.write_bytes(message)
            return self._openssl(["pkeyutl", "-sign", "-rawin", "-keyform", "DER",
                                  "-inkey", str(key), "-in", str(text)])

    def hash(self, name):
        return sha256(name.encode(), b"\n\x01", self.public)[:4]


def signature_line(text, name, key):
    return "\u2014 %s %s\n" % (name, b64(key.hash(name) + key.sign(text.encode())))


def lines():
    for n in range(len(LEAVES) + 1):
        yield "root %d %s" % (n, root(LEAVES[:n]).hex())
    for n in (1, 2, 3, 7, 8, 9, 31, 32, 33, 40):
        for m in sorted({0, 1, n // 2, n - 2, n - 1}):
            if 0 <= m < n:
                yield "inclusion %d %d %s" % (m, n, " ".join(h.hex() for h in path(m, LEAVES[:n])))
    for m, n in ((1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (8, 9), (1, 40),
                 (31, 40), (32, 40), (33, 40), (39, 40), (40, 40)):
        yield "consistency %d %d %s" % (m, n, " ".join(h.hex() for h in subproof(m, LEAVES[:n], True)))
    log, witness = Key(0), Key(100)
    for epoch, size, extension in ((1, 40, ""), (1, 0, ""), (2, 33, "state %s at 32\n" % sha256(b"state").hex())):
        origin = "meshlog/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/%d" % epoch
        text = "%s\n%d\n%s\n%s" % (origin, size, b64(root(LEAVES[:size])), extension)
        note = text + "\n" + signature_line(text, origin, log)
        cosigner = "meshlog/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/node/11"
        yield "key %s %s %s" % (
            origin, log.public.hex(), "%s+%s+%s" % (origin, log.hash(origin).hex(), b64(b"\x01" + log.public)))
        yield "note %d %d %s" % (epoch, size, b64(note.encode()))
        yield "cosigned %s %s %s" % (
            cosigner, witness.public.hex(), b64((note + signature_line(text, cosigner, witness)).encode()))
        if size:
            proof = "c2sp.org/tlog-proof@v1\nextra %s\nindex 5\n%s\n%s" % (
                b64(LEAVES[5]), "".join(b64(h) + "\n" for h in path(5, LEAVES[:size])), note)
            yield "proof 5 %d %s" % (size, b64(proof.encode()))


def main():
    try:
        subprocess.run(["openssl", "version"], capture_output=True, check=True)
    except OSError:
        print("skipped: there is no openssl command")
        sys.exit(77)
    text = "".join(line.rstrip() + "\n" for line in lines())
    if sys.argv[1:2] != ["--check"]:
        sys.stdout.write(text)
    elif pathlib.Path(sys.argv[2]).read_text() != text:
        sys.exit("the vectors in the file are not those that this computes")


if __name__ == "__main__":
    main()
