"""Claim: machines without a token ask, wait, and become exactly the node that an operator says, after both sides
compared a fingerprint; a controller or a newcomer with another fingerprint gets nothing; other hardware takes a node's
place in one step, and the old hardware nothing any more. ops/bootstrap-node does its part of it, and can be run again.
Method: the real programs on loopback; three machines that learn the controller in the three ways, then replacement and
the script."""
import json
import os
import pathlib
import pty
import re
import shutil
import socket
import subprocess
import unittest

from mesh import BIN, Mesh, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHELLS = [shell for shell in (["sh"], ["dash"], ["busybox", "sh"]) if shutil.which(shell[0])]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Newcomer:
    """`meshnode join --controller` at work."""

    def __init__(self, mesh, name, *options, stdin=subprocess.DEVNULL, timeout=60):
        self.data, self.log = mesh.dir / name, mesh.dir / (name + ".join")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [BIN / "meshnode", "join", "--data", self.data, "--controller", mesh.enrol, "--timeout", str(timeout),
                 *options], stdin=stdin, stdout=log, stderr=log, start_new_session=True)
        mesh.processes.append(self.process)
        own = r"this node's fingerprint is (\S+)"
        wait_until(lambda: self.said(own) or self.process.poll() is not None, "a fingerprint")
        self.fingerprint = self.said(own)

    def said(self, pattern):
        found = re.search(pattern, self.log.read_text())
        return found and found.group(1 if found.groups() else 0)


class Attach(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = mesh = Mesh()
        mesh.hello = str(free_port())
        mesh.start_controller("--hello", f"tcp://127.0.0.1:{mesh.hello}")
        mesh.enrol = re.search(r"enrol = .tcp://([0-9.:]+)", (mesh.controller_dir / "meshd.toml").read_text()).group(1)
        cls.connection = mesh.json("controller", "connection")
        (mesh.dir / "connection").write_bytes(mesh.cli("controller", "connection").stdout)
        for number in range(1, 6):
            mesh.add_site(f"s{number}", number)

    @classmethod
    def tearDownClass(cls):
        cls.mesh.__exit__()

    def attach(self, node, newcomer, *options, **more):
        return self.mesh.cli("attach", "node", node, "--fingerprint", newcomer.fingerprint, *options, **more)

    def joined(self, newcomer, node):
        wait_until(lambda: newcomer.process.poll() is not None, f"{node} has joined")
        self.assertEqual(newcomer.process.returncode, 0, newcomer.log.read_text())
        self.assertIn(f"({node})", newcomer.log.read_text())

    def test_1_three_machines_learn_the_controller_and_are_admitted_one_by_one(self):
        mesh, print_ = self.mesh, self.connection["fingerprint"]
        self.assertIn(f"# fingerprint {print_}", (mesh.dir / "connection").read_text())
        by_print = Newcomer(mesh, "s1", "--hello-port", mesh.hello, "--fingerprint", print_)
        by_key = Newcomer(mesh, "s2", "--controller-key", mesh.dir / "connection")
        person, terminal = pty.openpty()
        by_person = Newcomer(mesh, "s3", "--hello-port", mesh.hello, stdin=terminal)
        os.write(person, b"yes\n")
        # Nobody is let in, or seen, before an operator opens the door.
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(mesh.enrol.split(":"))
        self.assertEqual(mesh.json("node", "pending")["items"], [])

        listed = mesh.cli("attach", "node", "r1.s1", "--no-input", check=False)
        self.assertEqual(listed.returncode, 64)
        table = listed.stdout.decode()
        for each in (by_print, by_key, by_person):
            self.assertRegex(table, rf"127\.0\.0\.1 +\S+ +{each.fingerprint}.* MiB")
        self.assertEqual({item["fingerprint"] for item in mesh.json("node", "pending")["items"]},
                         {by_print.fingerprint, by_key.fingerprint, by_person.fingerprint})

        stranger = by_print.fingerprint[:-1] + ("0" if by_print.fingerprint[-1] != "0" else "1")
        wrong = mesh.cli("attach", "node", "r1.s1", "--fingerprint", stranger, "--timeout", "2s", check=False)
        self.assertEqual(wrong.returncode, 9, wrong.stderr)
        for node, newcomer in (("r1.s1", by_print), ("r1.s2", by_key), ("r1.s3", by_person)):
            self.assertIn(f"admitted {newcomer.fingerprint}", self.attach(node, newcomer, "--no-wait").stdout.decode())
            self.joined(newcomer, node)
        self.assertEqual(self.attach("r1.s1", by_key, "--no-wait", check=False).returncode, 6)
        os.close(person)
        os.close(terminal)

        for site in ("s1", "s2", "s3"):
            mesh.start_node(site)
        mesh.cli("commit", "all", "-m", "first")
        mesh.cli("activate", "all", "--no-wait")
        for site in ("s1", "s2", "s3"):
            mesh.wait_synced(site, version=1)

    def test_2_a_controller_with_another_fingerprint_or_key_is_not_obeyed(self):
        mesh = self.mesh
        waits = Newcomer(mesh, "waits", "--controller-key", mesh.dir / "connection")
        gather = mesh.start("meshcli", "--context", mesh.context, "attach", "node", "r1.s5", "--fingerprint",
                            ":".join(["0000"] * 8), "--timeout", "60s", log="gather")
        other = Newcomer(mesh, "other", "--hello-port", mesh.hello, "--fingerprint", ":".join(["ffff"] * 8))
        wait_until(lambda: other.process.poll() is not None, "it gives up")
        self.assertEqual(other.process.returncode, 4, other.log.read_text())
        self.assertIn("another fingerprint", other.log.read_text())
        key = Newcomer(mesh, "key", "--controller-key", "ab" * 32, timeout=20)
        wait_until(lambda: key.process.poll() is not None, "it gives up")
        self.assertEqual(key.process.returncode, 4, key.log.read_text())
        nobody = Newcomer(mesh, "nobody", "--hello-port", mesh.hello)
        wait_until(lambda: nobody.process.poll() is not None, "nobody is there to say yes")
        self.assertEqual(nobody.process.returncode, 4, nobody.log.read_text())
        wait_until(lambda: mesh.json("node", "pending")["items"], "it waits")
        self.assertEqual([item["fingerprint"] for item in mesh.json("node", "pending")["items"]],
                         [waits.fingerprint], "those three said nothing about themselves")
        for process in (gather, waits.process):
            process.terminate()
            process.wait()

    def test_3_a_machine_is_followed_to_its_first_version(self):
        mesh = self.mesh
        newcomer = Newcomer(mesh, "s4", "--controller-key", self.connection["controller_key"], "--node", "r1.s4")
        attach = mesh.start("meshcli", "--context", mesh.context, "attach", "node", "r1.s4", "--fingerprint",
                            newcomer.fingerprint, log="follow")
        self.joined(newcomer, "r1.s4")
        mesh.start_node("s4")
        wait_until(lambda: attach.poll() is not None, "attach has seen the first version")
        self.assertEqual(attach.returncode, 0, (mesh.dir / "follow.err").read_text())
        self.assertIn("r1.s4: runs v", (mesh.dir / "follow.err").read_text())

    def test_4_other_hardware_takes_the_place_and_the_old_gets_nothing(self):
        mesh = self.mesh
        before = {item["fullname"]: item["id"] for item in mesh.json("list", "nodes")["items"]}
        links = len(mesh.json("list", "links", "r1.s1")["items"])
        mesh.kill_node("s1")
        (mesh.dir / "s1").rename(mesh.dir / "old")
        newcomer = Newcomer(mesh, "s1", "--controller-key", mesh.dir / "connection")
        refused = self.attach("r1.s1", newcomer, check=False)
        self.assertEqual(refused.returncode, 6, "without --replace")
        self.assertEqual(self.attach("r1.s1", newcomer, "--replace", check=False).returncode, 64, "nobody confirmed it")
        head = mesh.json("controller", "status")["sequence"]
        self.attach("r1.s1", newcomer, "--replace", "--yes", "--no-wait")
        events = json.dumps(mesh.json("show", "entry", str(head + 1))["item"]["events"])
        for event in ("NodeRevoked", "NodeEnrolled"):
            self.assertIn(event, events, "one entry takes and gives")
        self.joined(newcomer, "r1.s1")
        mesh.start_node("s1")
        mesh.wait_synced("s1", version=1)
        self.assertEqual({item["fullname"]: item["id"] for item in mesh.json("list", "nodes")["items"]}, before)
        self.assertEqual(len(mesh.json("list", "links", "r1.s1")["items"]), links)

        mesh.start_node("old")
        wait_until(lambda: "refused our key" in mesh.node_status("old").get("controller_detail", ""), "it hears that")
        self.assertLessEqual(mesh.node_status("old")["sequence"], head, "and nothing else")
        again = mesh.program("meshnode", "join", "--data", mesh.dir / "old", "--controller", mesh.enrol, check=False)
        self.assertEqual(again.returncode, 6, again.stderr)
        mesh.stop_node("old")

    def test_5_the_bootstrap_script_makes_a_node_and_can_be_run_again(self):
        mesh, root = self.mesh, self.mesh.dir / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/os-release").write_text('ID=raspbian\nID_LIKE="debian"\n')
        command = [*SHELLS[-1], ROOT / "ops/bootstrap-node", "-c", mesh.enrol, "-p", mesh.hello, "-f",
                   self.connection["fingerprint"], "-b", BIN / "meshnode", "--root", root, "-t", "60"]
        with open(mesh.dir / "script", "wb") as log:
            script = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        mesh.processes.append(script)
        said = (mesh.dir / "script").read_text
        wait_until(lambda: "this node's fingerprint is" in said() or script.poll() is not None, "it asks")
        print_ = re.search(r"this node's fingerprint is (\S+)", said()).group(1)
        mesh.cli("attach", "node", "r1.s5", "--fingerprint", print_, "--no-wait")
        wait_until(lambda: script.poll() is not None, "it is done")
        self.assertEqual(script.returncode, 0, said())
        identity = json.loads((root / "var/lib/meshnode/identity/node.json").read_text())
        self.assertEqual(identity["fullname"], "r1.s5")
        self.assertEqual((root / "etc/systemd/system/meshnode.service").read_text(),
                         (ROOT / "ops/systemd/meshnode.service").read_text())
        allow = root / "etc/meshnode/allow.toml"
        for line in ("destinations = []", "commands = []", "startup_scripts = false", "ssh_keys = false"):
            self.assertIn("\n" + line + "\n", allow.read_text())
        allow.write_text("startup_scripts = true\n")
        again = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        self.assertNotRegex(again, "(?m)^(write|run) ", "what is right stays")
        self.assertEqual(allow.read_text(), "startup_scripts = true\n", "it belongs to the box")


class Script(unittest.TestCase):
    """What the script would do, on each system and with each shell."""

    def run_script(self, shell, root, *options):
        return subprocess.run([*shell, ROOT / "ops/bootstrap-node", "--root", root, "--dry-run", *options],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def test_dry_run_names_every_step_and_changes_nothing(self):
        for system, service, package in (("debian", "/etc/systemd/system/meshnode.service", "bird2"),
                                         ("raspbian", "/etc/systemd/system/meshnode.service", "bird2"),
                                         ("alpine", "/etc/init.d/meshnode", "bird ")):
            for shell in SHELLS:
                with self.subTest(system=system, shell=shell), Mesh.directory() as root:
                    (root / "etc").mkdir()
                    (root / "etc/os-release").write_text(f'NAME="x"\nID={system}\n')
                    done = self.run_script(shell, root, "-c", "control.example.net", "-k", "ab" * 32, "-n", "r1.ams",
                                           "-b", "https://dl.example.net/meshnode")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    for step in ("/usr/local/bin/meshnode from https", "/etc/meshnode/allow.toml", service, package,
                                 f"join --controller control.example.net --data {root}/var/lib/meshnode --timeout 3600 "
                                 f"--controller-key {'ab' * 32} --node r1.ams", "nothing was changed"):
                        self.assertIn(step, done.stdout)
                    self.assertEqual([path.name for path in root.rglob("*") if path.is_file()], ["os-release"])

    def test_wrong_use_and_foreign_systems_are_refused(self):
        with Mesh.directory() as root:
            for options in ([], ["-c"], ["-x"], ["-c", "h", "-t", "soon"], ["-c", "h", "-b", "http://x/meshnode"]):
                self.assertEqual(self.run_script(SHELLS[0], root, *options).returncode, 64, options)
            self.assertEqual(self.run_script(SHELLS[0], root, "-c", "h").returncode, 1, "no system")

    def test_a_program_without_a_digest_comes_over_https_alone(self):
        with Mesh.directory() as root:
            (root / "etc").mkdir()
            (root / "etc/os-release").write_text("ID=debian\n")
            (root / "curl").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$0.args"\nexit 1\n')
            (root / "curl").chmod(0o755)
            for options, allowed in (([], "=https"), (["-s", "AB" * 32], "=https,http")):
                done = subprocess.run([*SHELLS[0], ROOT / "ops/bootstrap-node", "--root", root, "-c", "h", "-b",
                                       "https://dl.example.net/meshnode", *options], capture_output=True, text=True,
                                      env={**os.environ, "PATH": f"{root}:{os.environ['PATH']}"})
                self.assertIn("cannot be fetched", done.stderr)
                said = (root / "curl.args").read_text().split("\n")
                self.assertEqual(said[said.index("--proto-redir") + 1], allowed, "a redirection is no way out of https")
            self.assertEqual(self.run_script(SHELLS[0], root, "-c", "h", "-b", "ftp://x/meshnode").returncode, 64)

    def test_it_is_plain_sh(self):
        for shell in SHELLS:
            subprocess.run([*shell, "-n", ROOT / "ops/bootstrap-node"], check=True)

    def test_its_services_are_those_of_ops(self):
        script = (ROOT / "ops/bootstrap-node").read_text()
        for service in ("systemd/meshnode.service", "openrc/meshnode"):
            self.assertIn((ROOT / "ops" / service).read_text() + "END\n", script, service)


if __name__ == "__main__":
    unittest.main()
