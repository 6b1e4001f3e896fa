"""Claim: whatever a thief changes in the controller's log, with its disk alone or with its keys too, is found: by
`verify` over the bus and from the directory, by comparison with a kept checkpoint, and by the node, which says so
and routes on. Method: the real programs. One log, one node; for each kind of tampering both are put back as they
were, mesh_forge changes the stopped controller's log (and makes consistent again what the thief could), and
everybody is asked. Each is asked twice: the node that has the history already, and the same node after its
replica was lost, which replays all of it. A line is printed for each."""
import json
import shutil
import subprocess
import unittest

from mesh import BIN, Mesh, wait_until

FILLING = 70  # more entries than opening a log looks at


class Case:
    """Found at `first_bad` with words `says`; `refuses`: what meshd says instead of serving it; `seen`: also by a node
    that has all entries already."""

    def __init__(self, how, at, first_bad, says, refuses=None, seen=True):
        self.how, self.at, self.first_bad, self.says, self.refuses, self.seen = how, at, first_bad, says, refuses, seen


class Tampering(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = mesh = Mesh()
        mesh.start_controller()
        cls.site = mesh.sites(1)[0]
        for word in ("one", "two", "three"):
            mesh.cli("set", "global", "note", word)
        cls.at = mesh.json("controller", "status")["sequence"] - 1  # the entry that says "two"
        for number in range(FILLING):
            mesh.cli("set", "global", "filling", str(number))
        mesh.wait_synced(cls.site)
        cls.good = mesh.node_status(cls.site)
        cls.kept = mesh.dir / "kept.note"
        cls.kept.write_bytes(mesh.cli("checkpoint").stdout)
        cls.head = mesh.json("controller", "status")["sequence"]
        cls.stop(cls)
        for name in ("controller", cls.site):
            shutil.copytree(mesh.dir / name, mesh.dir / (name + ".pristine"), symlinks=True,
                            ignore=shutil.ignore_patterns("*.sock"))

    @classmethod
    def tearDownClass(cls):
        cls.mesh.__exit__()

    def stop(self):
        for process in (self.mesh.nodes.pop(self.site, None), self.mesh.controller):
            if process and process.poll() is None:
                process.terminate()
                process.wait()

    def restore(self):
        self.stop()
        for name in ("controller", self.site):
            shutil.rmtree(self.mesh.dir / name)
            shutil.copytree(self.mesh.dir / (name + ".pristine"), self.mesh.dir / name, symlinks=True)

    def verdict(self, *arguments):
        done = self.mesh.program("meshcli", "--context", self.mesh.context, "verify", *arguments, "-o", "json",
                                 check=False)
        self.assertEqual(done.returncode, 12, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def node_finds(self, new):
        """What the node says; it keeps what it runs."""
        if new:
            shutil.rmtree(self.mesh.dir / self.site / "replica")
        self.mesh.start_node(self.site)
        wait_until(lambda: self.mesh.node_status(self.site).get("problem"), "the node refuses")
        status = self.mesh.node_status(self.site)
        self.assertEqual(status["active"], self.good["active"])
        self.assertEqual(len(status["links"]), len(self.good["links"]))
        process = self.mesh.nodes.pop(self.site)
        self.assertIsNone(process.poll())
        process.terminate()
        process.wait()
        return status["problem"]

    def run_case(self, case):
        self.restore()
        subprocess.run([BIN / "mesh_forge", self.mesh.controller_dir, case.how, str(case.at)], check=True)
        offline = self.verdict("--from", self.mesh.controller_dir, "--against", self.kept)
        said = json.dumps(offline["problems"])
        self.assertEqual(offline["first_bad"], case.first_bad, said)
        self.assertIn(case.says, said)
        told = offline["problems"][0]
        if case.refuses:
            with self.assertRaises(AssertionError) as refusal:
                self.mesh.start_controller()
            self.assertIn(case.refuses, str(refusal.exception))
            print(f"{case.how:14} #{case.at}: {told}; meshd does not serve it", flush=True)
            return
        self.mesh.start_controller()
        online = self.verdict("--against", self.kept)
        self.assertEqual(online["first_bad"], case.first_bad, online)
        node = self.node_finds(new=False) if case.seen else "(has the true one)"
        newcomer = self.node_finds(new=True) if case.first_bad else "(needs what it lost)"
        print(f"{case.how:14} #{case.at}: {told}; node: {node}; replaying: {newcomer}", flush=True)

    def test_everything_that_was_changed_is_found(self):
        at = self.at
        cases = [
            Case("event", at, at, "do not follow"),
            Case("rewrite", at, at, "signature"),
            Case("resign", at, at, "signature"),
            Case("signature", at, at, "signature"),
            Case("remove", at, at, "based on"),
            Case("swap", at, at, "based on"),
            Case("cut", self.head - 1, None, "entries are gone"),
            Case("raw-signature", at, at, "signature", seen=False),
            Case("raw-remove", at, at, "missing", refuses="missing"),
            Case("raw-swap", at, at, "expected entry", refuses=f"entry {at}"),
        ]
        for case in cases:
            with self.subTest(how=case.how):
                self.run_case(case)


if __name__ == "__main__":
    unittest.main()
