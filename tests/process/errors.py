"""Claim: what goes wrong for a user has a clear message, the fix where there is one, and its exit code, and changes
nothing. Method: one real controller; each error once; the log's length before and after."""
import json
import os
import socket
import unittest

from mesh import Mesh


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh()
        cls.mesh.start_controller()
        cls.mesh.add_site("ams", 1)
        cls.mesh.add_site("lab", 2)

    @classmethod
    def tearDownClass(cls):
        cls.mesh.__exit__()

    def refused(self, code, says, *args, **options):
        before = self.mesh.json("controller", "status")["sequence"]
        done = self.mesh.cli(*args, check=False, **options)
        self.assertEqual(done.returncode, code, (args, done.stderr))
        self.assertIn(says, done.stderr.decode())
        self.assertEqual(done.stdout, b"")
        self.assertEqual(self.mesh.json("controller", "status")["sequence"], before)

    def test_names(self):
        self.refused(5, 'site "asm" does not exist', "set", "site", "asm", "wg_keepalive", "20")
        self.refused(6, "exists already", "add", "site", "ams")
        self.refused(7, "name", "add", "site", "Not.A.Label")
        self.refused(7, "number", "add", "site", "42")

    def test_too_long_and_not_utf8(self):
        for name in (b"x" * 64, b"\xff\xfe", "caf\u00e9".encode()):
            done = self.mesh.cli("add", "site", os.fsdecode(name), check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn(b"terminate", done.stderr)

    def test_values(self):
        self.refused(7, "wg_mtu", "set", "node", "r1.ams", "wg_mtu", "70000")
        self.refused(7, "secret", "set", "global", "bgp_password", "hunter2")

    def test_two_sites_with_one_lan(self):
        self.mesh.cli("set", "site", "lab", "lans", '["10.1.0.0/24"]')
        self.refused(7, "10.1.0.0/24 is announced by two sites (ams, lab)", "commit", "all")
        self.mesh.cli("set", "site", "lab", "lans", '["10.2.0.0/24"]')

    def test_usage(self):
        self.refused(64, "", "frobnicate")
        self.refused(64, "", "add", "site")

    def test_a_stale_expectation(self):
        self.refused(6, "expected", "set", "global", "note", "x", "--expect-sequence", "1")

    def test_errors_as_json(self):
        done = self.mesh.cli("show", "site", "nowhere", "-o", "json", check=False)
        error = json.loads(done.stderr)["error"]
        self.assertEqual((error["code"], error["exit"]), ("not_found", 5))
        self.assertEqual(done.stdout, b"")

    def test_an_unreachable_controller(self):
        with Mesh() as silent:
            done = silent.cli("list", "sites", check=False)
            self.assertEqual(done.returncode, 8, done.stderr)

    def test_a_port_in_use(self):
        with Mesh() as second, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            settings = second.controller_dir / "meshd.toml"
            lines = settings.read_text().splitlines()
            port = taken.getsockname()[1]
            settings.write_text("\n".join(f'listen = "tcp://127.0.0.1:{port}"' if line.startswith("listen") else line
                                          for line in lines) + "\n")
            done = second.program("meshd", "run", "--data", second.controller_dir, check=False)
            self.assertEqual(done.returncode, 6, done.stderr)
            self.assertIn(f"127.0.0.1:{port}", done.stderr.decode())

    def test_directories_that_are_not_ours(self):
        with Mesh() as other:
            done = other.program("meshd", "init", "--data", other.controller_dir, check=False)
            self.assertEqual(done.returncode, 6, done.stderr)
            empty = other.dir / "empty"
            empty.mkdir()
            self.assertEqual(other.program("meshd", "run", "--data", empty, check=False).returncode, 5)
            self.assertNotEqual(other.program("meshcli", "verify", "--from", empty, check=False).returncode, 0)
            done = self.mesh.program("meshd", "run", "--data", self.mesh.controller_dir, check=False)
            self.assertNotEqual(done.returncode, 0, "one directory is opened once")

    def test_tokens(self):
        token = json.loads(self.mesh.cli("token", "create", "--node", "r1.ams", "-o", "json").stdout)["token"]
        join = ("join", "--token-file", "-", "--data", self.mesh.dir / "thief")
        done = self.mesh.program("meshnode", *join, stdin=token[:-9].encode(), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn(token.encode(), done.stderr + done.stdout)
        self.mesh.program("meshnode", *join, stdin=token.encode())
        again = ("join", "--token-file", "-", "--data", self.mesh.dir / "thief2", "--timeout", "3")
        done = self.mesh.program("meshnode", *again, stdin=token.encode(), check=False)
        self.assertIn(done.returncode, (4, 8), "a token is good once, and without one the door is closed")


if __name__ == "__main__":
    unittest.main()
