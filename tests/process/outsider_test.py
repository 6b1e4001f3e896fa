"""Claim: an outsider, with a program that shares no code with ours, checks a checkpoint's signature, that an entry is
in the log, and that history was only appended to; and nothing that was changed passes. Method: the real programs; then
every field of the documents is changed, one at a time, and each has to be refused."""
import copy
import json
import unittest

import outsider
from mesh import Mesh


class Outsider(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.mesh.start_controller()
        for number in range(1, 9):
            cls.mesh.cli("add", "site", f"s{number}")
        cls.old = cls.mesh.cli("checkpoint").stdout.decode()
        for number in range(9, 23):
            cls.mesh.cli("add", "site", f"s{number}")
        cls.checkpoint = cls.mesh.json("checkpoint")
        cls.verifier = outsider.Verifier(cls.checkpoint["verifier_key"])

    @classmethod
    def tearDownClass(cls):
        cls.mesh.__exit__()

    def refused(self, check, *arguments):
        with self.assertRaises((outsider.Wrong, KeyError, IndexError, ValueError), msg=str(arguments)):
            check(self.verifier, *arguments)

    def changed(self, document, keys):
        """The document with each of these changed, one at a time."""
        for key in keys:
            value = document[key]
            if isinstance(value, list):
                for at in range(len(value)):
                    one = copy.deepcopy(document)
                    one[key][at] = "%064x" % at
                    yield key, one
                    one = copy.deepcopy(document)
                    del one[key][at]
                    yield key, one
                one = copy.deepcopy(document)
                one[key].append("00" * 32)
            elif isinstance(value, int):
                one = dict(document, **{key: value + 1})
            elif key == "checkpoint":
                one = dict(document, **{key: self.old})
            else:
                first = "1" if value[0] != "1" else "2"  # of another value as a digit, too
                one = dict(document, **{key: first + value[1:]})
            yield key, one

    def test_a_checkpoint_and_every_fifth_character_of_it_changed(self):
        size, root = self.verifier.checkpoint(self.checkpoint["note"])
        self.assertEqual((size, root.hex()), (self.checkpoint["size"], self.checkpoint["root"]))
        note = self.checkpoint["note"]
        for at in range(0, len(note), 5):
            changed = note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1:]
            self.refused(lambda verifier, text: verifier.checkpoint(text), changed)

    def test_every_entry_is_proved(self):
        for entry in range(1, self.checkpoint["size"] + 1):
            document = self.mesh.json("prove", str(entry))
            self.assertEqual(document["entry"], entry)
            outsider.proof_document(self.verifier, document)
            outsider.tlog_proof(self.verifier, document["tlog_proof"])

    def test_a_changed_proof_is_refused(self):
        document = self.mesh.json("prove", "12")
        for key, one in self.changed(document, ["entry", "leaf", "header", "size", "root", "proof", "checkpoint"]):
            self.refused(outsider.proof_document, one)
        text = document["tlog_proof"]
        self.refused(outsider.tlog_proof, text.replace("index 11", "index 12"))
        self.refused(outsider.tlog_proof, text.replace("extra ", "extra AAAA"))
        self.refused(outsider.tlog_proof, text.partition("\n\n")[0] + "\n\n" + self.old)

    def test_history_was_only_appended_to(self):
        old = self.mesh.dir / "old.note"
        old.write_text(self.old)
        document = self.mesh.json("prove", "consistency", old)
        outsider.consistency_document(self.verifier, document, self.old)
        between = self.mesh.json("prove", "consistency", "5", "17")
        outsider.consistency_document(self.verifier, between)
        for original in (document, between):
            for key, one in self.changed(original, ["from", "from_root", "to", "to_root", "proof", "head_proof"]):
                self.refused(outsider.consistency_document, one)
        self.refused(outsider.consistency_document, between, self.old)

    def test_as_a_program(self):
        proof = self.mesh.dir / "entry.tlog-proof"
        self.mesh.cli("prove", "3", "--out", proof)
        note = self.mesh.dir / "note"
        note.write_text(self.checkpoint["note"])
        for kind, path in (("tlog-proof", proof), ("note", note)):
            outsider.main([self.checkpoint["verifier_key"], kind, str(path)])
        stranger = Mesh()
        try:
            stranger.start_controller()
            with self.assertRaises(outsider.Wrong):
                outsider.main([stranger.json("checkpoint")["verifier_key"], "note", str(note)])
        finally:
            stranger.__exit__()


if __name__ == "__main__":
    unittest.main()
