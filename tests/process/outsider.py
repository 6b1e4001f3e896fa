"""What somebody can check who has none of our code: Python's standard library and the openssl command.

  outsider.py VERIFIER_KEY note NOTE                     the log key signed this checkpoint
  outsider.py VERIFIER_KEY proof DOCUMENT                an entry is in the log (`meshcli prove N -o json`)
  outsider.py VERIFIER_KEY tlog-proof FILE               the same (`meshcli prove N --out FILE`, c2sp.org/tlog-proof@v1)
  outsider.py VERIFIER_KEY consistency DOCUMENT [OLD]    history was only appended to since the checkpoint OLD
                                                         (`meshcli prove consistency OLD -o json`)

VERIFIER_KEY is what was pinned when the log was first met: `meshcli checkpoint -o json`, verifier_key.
Exit 0 when it holds; 1, with the reason, when it does not. Formats: C2SP signed-note, tlog-checkpoint and tlog-proof;
RFC 6962 trees, checked by the algorithms of RFC 9162, 2.1.3.2 and 2.1.4.2.
"""
import base64
import binascii
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: an Ed25519 public key of 32 bytes follows


class Wrong(Exception):
    pass


def expect(condition, why):
    if not condition:
        raise Wrong(why)


def decode(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Wrong("this is not base64: %r" % text) from None
    expect(base64.b64encode(data).decode() == text, "base64 with another spelling")
    return data


def digest(text):
    try:
        data = bytes.fromhex(text)
    except (ValueError, TypeError):
        raise Wrong("this is not a hash: %r" % text) from None
    expect(len(data) == 32, "this is not a hash of 32 bytes: %r" % text)
    return data


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def node(left, right):
    return sha256(b"\x01", left, right)


def ed25519_holds(key, message, signature):
    with tempfile.TemporaryDirectory() as directory:
        names = [pathlib.Path(directory, name) for name in ("key", "message", "signature")]
        for name, data in zip(names, (SPKI + key, message, signature)):
            name.write_bytes(data)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER",
                               "-inkey", names[0], "-in", names[1], "-sigfile", names[2]], capture_output=True)
        return done.returncode == 0


class Verifier:
    def __init__(self, text):
        self.name, hash_hex, typed = text.split("+", 2)
        data = decode(typed)
        expect(len(data) == 33 and data[0] == 1, "the verifier key is not Ed25519")
        self.key = data[1:]
        self.hash = sha256(self.name.encode(), b"\n", data)[:4]
        expect(self.hash.hex() == hash_hex, "the verifier key's hash is wrong")

    def checkpoint(self, note):
        """Size and root of a note that this key signed."""
        expect("\n\n" in note, "no blank line before the signatures")
        at = note.rindex("\n\n")
        text, lines = note[:at + 1], note[at + 2:].splitlines()
        mine = []
        for line in lines:
            parts = line.split(" ")
            expect(len(parts) == 3 and parts[0] == "\u2014", "a malformed signature line")
            data = decode(parts[2])
            if parts[1] == self.name and data[:4] == self.hash:
                mine.append(data[4:])
        expect(mine, "no signature by %s" % self.name)
        for signature in mine:
            expect(ed25519_holds(self.key, text.encode(), signature), "the signature is wrong")
        origin, size, root = text.split("\n")[:3]
        expect(origin == self.name, "the checkpoint is of %s" % origin)
        expect(size.isdigit() and str(int(size)) == size, "a malformed size")
        data = decode(root)
        expect(len(data) == 32, "a malformed root")
        return int(size), data


def check_inclusion(leaf, index, size, proof, root):
    expect(index < size, "there is no such entry")
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        expect(sn != 0, "the proof is too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    expect(sn == 0, "the proof is too short")
    expect(r == root, "the proof does not lead to the signed root")


def check_consistency(first, first_root, second, second_root, proof):
    expect(first <= second, "the old tree is larger")
    if first in (0, second):
        expect(not proof, "the proof is too long")
        expect(first_root == (sha256() if first == 0 else second_root), "two roots for one size")
        return
    proof = list(proof)
    if first & (first - 1) == 0:
        proof.insert(0, first_root)
    expect(proof, "the proof is too short")
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = proof[0]
    for c in proof[1:]:
        expect(sn != 0, "the proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    expect(sn == 0, "the proof is too short")
    expect(fr == first_root, "the old root is not that of a prefix")
    expect(sr == second_root, "the proof does not lead to the new root")


def proof_document(verifier, document):
    size, root = verifier.checkpoint(document["checkpoint"])
    leaf = sha256(b"\x00", decode(document["header"]))
    expect(leaf == digest(document["leaf"]), "the leaf is not the hash of the header")
    expect(size == document["size"] and root == digest(document["root"]), "size or root are not the signed ones")
    check_inclusion(leaf, document["entry"] - 1, size, [digest(h) for h in document["proof"]], root)
    return "entry %d is in the log of %d" % (document["entry"], size)


def tlog_proof(verifier, text):
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    expect(lines[0] == "c2sp.org/tlog-proof@v1", "this is no tlog-proof")
    expect(lines[1].startswith("extra ") and lines[2].startswith("index "), "extra or index is missing")
    size, root = verifier.checkpoint(note)
    index = int(lines[2][len("index "):])
    leaf = sha256(b"\x00", decode(lines[1][len("extra "):]))
    check_inclusion(leaf, index, size, [decode(line) for line in lines[3:]], root)
    return "entry %d is in the log of %d" % (index + 1, size)


def consistency_document(verifier, document, old_note=None):
    size, root = verifier.checkpoint(document["checkpoint"])
    old_size, old_root = document["from"], digest(document["from_root"])
    if old_note is not None:
        expect((old_size, old_root) == verifier.checkpoint(old_note), "the proof is not from the old checkpoint")
    middle, middle_root = document["to"], digest(document["to_root"])
    check_consistency(old_size, old_root, middle, middle_root, [digest(h) for h in document["proof"]])
    check_consistency(middle, middle_root, size, root, [digest(h) for h in document["head_proof"]])
    return "the first %d entries are a prefix of all %d" % (old_size, size)


def main(arguments):
    verifier = Verifier(arguments[0])
    kind, texts = arguments[1], [pathlib.Path(name).read_text() for name in arguments[2:]]
    if kind == "note":
        return "signed at %d" % verifier.checkpoint(texts[0])[0]
    if kind == "proof":
        return proof_document(verifier, json.loads(texts[0]))
    if kind == "tlog-proof":
        return tlog_proof(verifier, texts[0])
    return consistency_document(verifier, json.loads(texts[0]), *texts[1:])


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        print(main(sys.argv[1:]))
    except (Wrong, KeyError, IndexError, ValueError) as why:
        sys.exit("it does not hold: %s" % why)
