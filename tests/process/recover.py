"""Claim: routers that have lost their controller, with its keys and its data, are adopted by a new one: by root on the
box, while meshnode runs and while it does not, and from afar by who has the recovery secret. A wrong secret, a node
without one, and a caller whose key nobody knows get nothing. What ran before routes on until a version of the new log
is activated, and the old log is kept on the box.
Method: the real programs on loopback with the dry-run data plane; the old controller is killed and its directory
removed; the new one knows the intent from an export."""
import json
import os
import re
import shutil
import socket
import unittest

from mesh import Mesh, wait_until

SITES = ("s1", "s2", "s3", "s4")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Recover(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = mesh = Mesh()
        cls.dir = mesh.dir
        mesh.start_controller()
        cls.secret = cls.dir / "fleet.recovery"
        for number, site in enumerate(SITES, 1):
            mesh.add_site(site, number)
        # A secret at enrolment by token, the same for a second one; the third gets it later; the fourth has none.
        cls.join_with("s1", "--recovery-out", cls.secret)
        cls.join_with("s2", "--recovery", cls.secret)
        cls.join_with("s3")
        cls.join_with("s4")
        for site in SITES:
            cls.start_node(site)
        mesh.cli("commit", "all", "-m", "first")
        mesh.cli("activate", "all", "--no-wait")
        for node in ("r1.s1", "r1.s3"):
            mesh.cli("node", "recovery", node, "--recovery", cls.secret)
        for site in SITES:
            mesh.wait_synced(site, version=1)
        cls.old = mesh.json("controller", "status")["log"]
        cls.export = cls.dir / "intent.yaml"
        cls.export.write_bytes(mesh.cli("export").stdout)
        networks = re.findall(r"(?m)^(loopbacknet_ipv[46]) +(\S+)", mesh.cli("show_all", "global").stdout.decode())
        cls.listen = re.search(r"listen = .(tcp://[0-9.:]+)", (mesh.controller_dir / "meshd.toml").read_text()).group(1)
        cls.routed = {site: (cls.dir / site / "dry-run.json").read_text() for site in SITES}
        # Everything of it is gone.
        mesh.kill_controller()
        shutil.rmtree(mesh.controller_dir)
        mesh.program("meshd", "init", "--data", mesh.controller_dir, "--listen", "tcp://127.0.0.1:0", "--enrol",
                     "tcp://127.0.0.1:0")
        mesh.start_controller()
        mesh.cli("apply", "-f", cls.export)
        for name, network in networks:
            mesh.cli("set", "global", name, network)

    @classmethod
    def tearDownClass(cls):
        cls.mesh.__exit__()

    @classmethod
    def join_with(cls, site, *options):
        mesh = cls.mesh
        token = json.loads(mesh.cli("token", "create", "--node", f"r1.{site}", "-o", "json", *options).stdout)["token"]
        mesh.program("meshnode", "join", "--token-file", "-", "--data", cls.dir / site, stdin=token.encode())

    @classmethod
    def start_node(cls, site):
        cls.mesh.nodes[site] = cls.mesh.start("meshnode", "run", "--data", cls.dir / site, "--dataplane", "dry-run",
                                              "--recovery-after", "1", log=site)

    def token(self, site):
        done = self.mesh.cli("token", "create", "--node", f"r1.{site}", "-o", "json")
        path = self.dir / f"{site}.token"
        path.write_text(json.loads(done.stdout)["token"])
        return path

    def new_log(self):
        return self.mesh.json("controller", "status")["log"]

    def same_tunnels(self, site):
        """The router is what it was: nothing was touched."""
        now = json.loads((self.dir / site / "dry-run.json").read_text())
        self.assertEqual(now, json.loads(self.routed[site]), site)

    def check_adopted(self, site):
        status = self.mesh.node_status(site)
        self.assertEqual(status["taken_over"], f"v1 of log {self.old}")
        self.assertEqual((status["active"], status["running"]), (0, True))
        self.same_tunnels(site)
        identity = json.loads((self.dir / site / "identity/node.json").read_text())
        self.assertEqual(identity["log"], self.new_log())
        before = self.dir / site / "before/1"
        self.assertEqual(json.loads((before / "identity/node.json").read_text())["log"], self.old)
        self.assertTrue((before / "replica").is_dir())
        self.assertEqual(os.readlink(before / "active"), "versions/v1")
        for key in ("sign.key", "box.key"):
            self.assertNotEqual((before / "identity" / key).read_bytes(),
                                (self.dir / site / "identity" / key).read_bytes(), "its keys are new")
            self.assertEqual((self.dir / site / "identity" / key).stat().st_mode & 0o777, 0o600)
        self.assertFalse((self.dir / site / "adopt").exists())

    def listen_with(self, secret, *options):
        return self.mesh.start("meshcli", "--context", self.mesh.context, "recover", "--recovery", secret, "--listen",
                               self.listen, *options, "-o", "json", log="recover")

    def said(self, pattern, log="recover.err"):
        return re.search(pattern, (self.dir / log).read_text())

    def end(self, process):
        process.send_signal(2)
        process.wait(60)
        return {item["node"]: item for item in json.loads((self.dir / "recover.out").read_text())["items"]}

    def test_1_the_secret_is_a_private_file_and_never_overwritten(self):
        self.assertEqual(self.secret.stat().st_mode & 0o777, 0o600)
        text = self.secret.read_text()
        self.assertRegex(text, r"(?m)^mlrec1-[\w-]+$")
        self.assertEqual(sorted(re.findall(rf"(?m)^router {self.old} (\S+)", text)), ["r1.s1", "r1.s3"])
        refused = self.mesh.cli("token", "create", "--node", "r1.s1", "--recovery-out", self.secret, check=False)
        self.assertEqual(refused.returncode, 6, refused.stderr)
        self.assertEqual(self.secret.read_text(), text)
        secret = re.search(r"mlrec1-([\w-]+)", text).group(1).encode()
        for path in self.dir.glob("*.err"):
            self.assertNotIn(secret, path.read_bytes(), path)

    def test_2_root_adopts_a_router_while_it_runs(self):
        process = self.mesh.nodes["s4"]
        wrong = self.mesh.program("meshnode", "adopt", "--data", self.dir / "s4", "--token-file", "-",
                                  stdin=b"meshtoken1nonsense", check=False)
        self.assertEqual(wrong.returncode, 12, wrong.stderr)
        path = self.token("s4")
        done = self.mesh.program("meshnode", "adopt", "--data", self.dir / "s4", "--token-file", path, "-o", "json")
        self.assertEqual(json.loads(done.stdout)["before"], self.old)
        wait_until(lambda: self.mesh.node_status("s4").get("controller") == "connected", "it is one of the new log")
        self.check_adopted("s4")
        self.assertIsNone(process.poll(), "the program was not restarted")
        self.assertNotIn(path.read_text(), (self.dir / "s4.err").read_text(), "no token in a log")
        again = self.mesh.program("meshnode", "adopt", "--data", self.dir / "s4", "--token-file", path, check=False)
        self.assertEqual(again.returncode, 6, again.stderr)

    def test_3_a_wrong_secret_and_an_unknown_caller_get_nothing(self):
        # Who has another secret is not even spoken to.
        other = self.dir / "other.recovery"
        self.mesh.cli("node", "recovery", "r1.s1", "--recovery-out", other)
        self.mesh.cli("node", "recovery", "r1.s1", "--none")
        listener = self.listen_with(other)
        wait_until(lambda: self.said("listening at"), "it listens")
        wait_until(lambda: self.said("calling for recovery", "s2.err"), "routers call")
        wait_until(lambda: self.said("called for recovery, and not heard", "s2.err"), "and find another key")
        self.assertEqual(self.end(listener), {})
        # The fourth had no secret, and calls nobody.
        self.assertFalse(self.said("calling for recovery", "s4.err"))
        # The secret as it was written down on paper: no key of a router is known, and a name alone, which the whole old
        # log knows, is not enough.
        paper = self.dir / "paper.recovery"
        paper.write_text(re.search(r"(?m)^mlrec1-.*$", self.secret.read_text()).group(0) + "\n")
        paper.chmod(0o600)
        listener = self.listen_with(paper)
        for site in ("s1", "s2", "s3"):
            wait_until(lambda: self.said(f"r1.{site} .*is not known"), "it calls")
        wait_until(lambda: self.said("does not know this node's fingerprint", "s2.err"), "and hears that")
        self.assertEqual({item["state"] for item in self.end(listener).values()}, {"unknown"})
        for site in ("s1", "s2", "s3"):
            self.assertEqual(self.mesh.node_status(site)["taken_over"], "")
            self.same_tunnels(site)

    def test_4_who_has_the_secret_adopts_from_afar(self):
        print_ = self.mesh.node_status("s2")["fingerprint"]
        listener = self.listen_with(self.secret, "--fingerprint", print_)
        for site in ("s1", "s2", "s3"):
            wait_until(lambda: self.said(f"r1.{site}: adopted"), f"{site} is adopted")
        items = self.end(listener)
        self.assertEqual({(name, item["state"]) for name, item in items.items()},
                         {(f"r1.{site}", "adopted") for site in ("s1", "s2", "s3")})
        for site in ("s1", "s2", "s3"):
            wait_until(lambda: self.mesh.node_status(site).get("controller") == "connected", "it is connected")
            self.check_adopted(site)

    def test_5_the_new_log_takes_over_when_it_says_so(self):
        mesh = self.mesh
        self.assertEqual({node["active"] for node in (mesh.node_status(site) for site in SITES)}, {0})
        mesh.kill_node("s1")
        self.start_node("s1")
        wait_until(lambda: mesh.node_status("s1").get("controller") == "connected", "started again")
        self.same_tunnels("s1")
        mesh.cli("set", "global", "wg_keepalive", "33")
        mesh.cli("commit", "all", "-m", "the new log's first")
        for site in SITES:
            self.same_tunnels(site)
        mesh.cli("activate", "all", "--no-wait")
        for site in SITES:
            mesh.wait_synced(site, version=1)
            status = mesh.node_status(site)
            self.assertEqual((status["state"], status["taken_over"]), ("ok", ""))
            tunnels = json.loads((self.dir / site / "dry-run.json").read_text())["tunnels"]
            self.assertEqual({tunnel["keepalive"] for tunnel in tunnels.values()}, {33})
            self.assertEqual(len(tunnels), 3)
            before = json.loads(self.routed[site])["tunnels"]
            for name, tunnel in tunnels.items():
                self.assertEqual((tunnel["address"], tunnel["peer_key"], tunnel["listen_port"]),
                                 tuple(before[name][key] for key in ("address", "peer_key", "listen_port")))
        mesh.stop_node("s1")
        self.assertEqual(mesh.node_status("s1")["taken_over"], "")

    def test_6_a_stopped_router_is_adopted_from_its_disk_and_a_third_log_may_follow(self):
        mesh = self.mesh
        keys = (self.dir / "s1/identity/sign.key").read_bytes()
        third = Mesh()
        try:
            third.start_controller()
            third.add_site("s1", 1)
            token = json.loads(third.cli("token", "create", "--node", "r1.s1", "-o", "json").stdout)["token"]
            third.kill_controller()
            late = mesh.program("meshnode", "adopt", "--data", self.dir / "s1", "--token-file", "-", "--timeout", "2",
                                stdin=token.encode(), check=False)
            self.assertEqual(late.returncode, 9, late.stderr)
            self.assertEqual((self.dir / "s1/identity/sign.key").read_bytes(), keys, "nothing has changed")
            third.start_controller()
            # What is under way is brought to its end by the program itself.
            self.start_node("s1")
            here = "v1 of log " + self.new_log()
            wait_until(lambda: mesh.node_status("s1").get("taken_over") == here, "the running one goes on with it")
            self.assertTrue((self.dir / "s1/before/2/replica").is_dir())
            mesh.stop_node("s1")
            left = mesh.program("meshnode", "leave", "--data", self.dir / "s1", "--dataplane", "dry-run")
            self.assertIn(b"left", left.stdout)
            self.assertEqual(list((self.dir / "s1").iterdir()), [], "and leave removes what was kept, too")
        finally:
            third.__exit__()


if __name__ == "__main__":
    unittest.main()
