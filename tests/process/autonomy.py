"""Claim: the controller moves to another address by a signed change, however little of it a node has heard; and root
can go back on a box, tell its story and leave, with or without a controller. Method: the real programs; a controller
that listens at two addresses, at the new one alone, and nowhere; nodes that are away for a part or all of the move."""
import fcntl
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from mesh import BIN, Mesh, wait_until


def free_endpoint():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class MovingMesh(Mesh):
    def __init__(self):
        super().__init__()
        self.old = re.search(r'endpoints = \["([^"]+)"\]', self.context.read_text()).group(1)
        self.new = free_endpoint()

    def serve(self, *endpoints):
        """Starts the controller anew, listening there."""
        if self.controller and self.controller.poll() is None:
            self.controller.terminate()
            self.controller.wait()
        listen = [word for endpoint in endpoints for word in ("--listen", endpoint)]
        self.controller = self.start("meshd", "run", "--data", self.controller_dir, *listen, log="meshd")
        ready = self.dir / "meshd.out"
        wait_until(lambda: ready.read_text().startswith("ready"), "meshd is ready")
        assert ready.read_text().split()[1:] == list(endpoints), ready.read_text()

    def use(self, endpoint):
        """The operator's context names this endpoint from now on."""
        text = self.context.read_text()
        self.context.write_text(re.sub(r"endpoints = .*", f'endpoints = ["{endpoint}"]', text))

    def endpoints(self, site, *words):
        done = self.program("meshnode", "endpoints", *words, "--data", self.dir / site, "-o", "json")
        return json.loads(done.stdout)

    def box(self, site, *words, check=True):
        return self.program("meshnode", *words, "--data", self.dir / site, check=check)

    def unseen(self):
        return [node["fullname"] for node in self.json("controller", "endpoints")["unseen"]]


class UnheardAnswers(unittest.TestCase):
    def test_a_rollback_without_an_answer_is_not_asked_for_again(self):
        """Claim: going back twice would go forward again, so what may have been heard is not repeated; questions are.
        Method: a server in meshnode's place that hangs up on the first requests."""
        with tempfile.TemporaryDirectory() as data, socket.socket(socket.AF_UNIX) as door:
            door.bind(f"{data}/control.sock")
            door.listen(16)
            heard = []

            def answer():
                while True:
                    try:
                        peer, _ = door.accept()
                    except OSError:
                        return
                    with peer:
                        heard.append(peer.makefile().readline().strip())
                        if heard.count(heard[-1]) > 2:
                            peer.sendall(b'{"in_use": "", "order": [], "by_log": [], "by_root": [], "sequence": 0}\n')

            server = threading.Thread(target=answer, daemon=True)
            server.start()
            with open(f"{data}/lock", "w") as lock:  # as if a meshnode ran
                fcntl.flock(lock, fcntl.LOCK_EX)
                ask = lambda *words: subprocess.run([BIN / "meshnode", *words, "--data", data], capture_output=True,
                                                    timeout=60)
                went = ask("rollback")
                self.assertNotEqual(went.returncode, 0)
                self.assertIn(b"gave no answer", went.stderr)
                self.assertEqual(heard, ["rollback 0"])
                self.assertEqual(ask("endpoints").returncode, 0)
                self.assertEqual(heard[1:], ["endpoints"] * 3)
            door.shutdown(socket.SHUT_RDWR)
            server.join(10)


class WrongClocks(unittest.TestCase):
    """Method: LD_PRELOAD of wrong_clock.cc; the time in meshnode's own log lines shows that it works."""
    YEARS = {"s1": (86_400, "1970-01-0"), "s2": (4_102_444_800, "2100-01-0")}

    def boot(self, mesh, site):
        preload = {"LD_PRELOAD": str(BIN / "mesh_wrong_clock.so"), "MESH_WALL_CLOCK": str(self.YEARS[site][0])}
        os.environ.update(preload)
        try:
            mesh.start_node(site)
        finally:
            for name in preload:
                del os.environ[name]

    def test_nodes_in_1970_and_2100_do_as_the_others(self):
        with MovingMesh() as mesh:
            mesh.serve(mesh.old)
            mesh.sites(3)
            mesh.kill_controller()
            for site in self.YEARS:
                mesh.stop_node(site)
                (mesh.dir / (site + ".err")).write_text("")
                self.boot(mesh, site)
                wait_until(lambda: mesh.node_status(site).get("running"), f"{site} boots without a controller")
                self.assertEqual(mesh.node_status(site)["active"], 1)
            mesh.serve(mesh.old)
            mesh.commit_change(33)
            mesh.cli("activate", "all", "--no-wait")
            for site, (_, date) in self.YEARS.items():
                mesh.wait_synced(site, version=2)
                self.assertIn(date, (mesh.dir / (site + ".err")).read_text())
                wait_until(lambda: mesh.node_status(site)["outcomes_waiting"] == 0, f"{site} has told what it did")
                self.assertEqual(mesh.node_status(site)["state"], "ok")
                # What a box tells is dated by the log.
                told = json.loads(mesh.box(site, "history", "-o", "json").stdout)["events"][-1]
                head = mesh.json("log")["items"][-1]["time"]
                self.assertEqual(told["log_time"][:10], head[:10])
            self.assertEqual(mesh.unseen(), [])


class Moves(unittest.TestCase):
    def test_a_node_that_was_away_for_half_of_it_comes_back_by_the_old_address(self):
        with MovingMesh() as mesh:
            mesh.serve(mesh.old)
            sites = mesh.sites(3)
            mesh.stop_node("s3")
            mesh.serve(mesh.old, mesh.new)
            mesh.cli("controller", "endpoints", "add", mesh.new, "-m", "we move")
            wait_until(lambda: mesh.unseen() == ["r1.s3"], "those who are here have seen it")
            refused = mesh.cli("controller", "endpoints", "remove", mesh.old, check=False)
            self.assertEqual(refused.returncode, 6)
            self.assertIn(b"r1.s3", refused.stderr)

            mesh.start_node("s3")
            mesh.wait_synced("s3", version=1)
            self.assertEqual(mesh.endpoints("s3")["by_log"], [mesh.old, mesh.new])
            wait_until(lambda: not mesh.unseen(), "all have seen it")
            mesh.cli("controller", "endpoints", "remove", mesh.old, "-m", "moved")
            # Who is connected over what was removed goes to the new one by itself, while the old one is still served.
            for site in sites:
                wait_until(lambda: mesh.endpoints(site)["in_use"] == mesh.new, f"{site} uses the new address")

            mesh.serve(mesh.new)
            mesh.use(mesh.new)
            for site in sites:
                mesh.wait_synced(site, version=1)
            mesh.add_site("s4", 4)
            mesh.join("s4")
            identity = json.loads((mesh.dir / "s4" / "identity" / "node.json").read_text())
            self.assertEqual(identity["endpoints"], [mesh.new])

    def test_a_node_that_missed_all_of_it_is_led_back(self):
        with MovingMesh() as mesh:
            mesh.serve(mesh.old)
            mesh.sites(3)
            mesh.stop_node("s2")
            mesh.stop_node("s3")
            mesh.cli("controller", "endpoints", "set", mesh.new, "--force")
            mesh.serve(mesh.new)
            mesh.use(mesh.new)
            mesh.wait_synced("s1", version=1)
            mesh.start_node("s2")
            mesh.start_node("s3")
            wait_until(lambda: "cannot connect" in mesh.node_status("s2").get("controller_detail", ""),
                       "s2 looks where nothing is served")
            # One way: root says where the controller is, to the meshnode that runs.
            self.assertEqual(mesh.endpoints("s2", "set", mesh.new)["by_root"], [mesh.new])
            mesh.wait_synced("s2", version=1)
            known = mesh.endpoints("s2")
            self.assertEqual((known["by_log"], known["by_root"], known["in_use"]), ([mesh.new], [], mesh.new))
            self.assertIn(mesh.old, known["order"])
            # The other way: the old address is served once more.
            self.assertEqual(mesh.endpoints("s3")["by_log"], [mesh.old])
            mesh.serve(mesh.old, mesh.new)
            mesh.wait_synced("s3", version=1)
            mesh.serve(mesh.new)
            mesh.wait_synced("s3", version=1)

    def test_whoever_has_not_the_controllers_key_is_not_believed(self):
        with MovingMesh() as mesh, MovingMesh() as other:
            mesh.serve(mesh.old)
            other.serve(other.old)
            mesh.sites(1)
            mesh.kill_controller()
            mesh.endpoints("s1", "set", other.old)
            wait_until(lambda: f"{other.old} ended the handshake" in (mesh.dir / "s1.err").read_text(), "it is refused")
            self.assertEqual(mesh.endpoints("s1")["in_use"], "")
            mesh.serve(mesh.old)
            mesh.wait_synced("s1", version=1)


class OnTheBox(unittest.TestCase):
    def two_versions(self, mesh):
        mesh.start_controller()
        mesh.sites(2)
        mesh.commit_change(33)
        mesh.cli("activate", "all", "--no-wait")
        for site in ("s1", "s2"):
            mesh.wait_synced(site, version=2)

    def test_root_goes_back_without_a_controller_and_the_log_hears_of_it(self):
        with MovingMesh() as mesh:
            self.two_versions(mesh)
            mesh.kill_controller()
            wait_until(lambda: mesh.node_status("s1")["controller"] == "unreachable", "the controller is gone")
            # s1 runs, s2 does not.
            mesh.stop_node("s2")
            said = mesh.box("s1", "rollback").stdout.decode()
            self.assertIn("rolled back: v2 -> v1", said)
            self.assertIn("activation 2 is not followed", said)
            mesh.box("s2", "rollback", "v1", "--dataplane", "dry-run")
            for site in ("s1", "s2"):
                self.assertEqual(mesh.node_status(site)["active"], 1)
                history = json.loads(mesh.box(site, "history", "-o", "json").stdout)
                self.assertEqual([event["what"] for event in history["events"]], ["applied", "applied", "reverted"])
                self.assertEqual(history["events"][-1]["message"], "rolled back on the box: v2 -> v1")
                self.assertEqual([v["state"] for v in history["versions"]], ["active", "previous"])
                self.assertIn("v2 -> v1", mesh.box(site, "history").stdout.decode())
            self.assertEqual(mesh.box("s1", "rollback", "v1", check=False).returncode, 6)
            self.assertEqual(mesh.box("s1", "rollback", "v7", check=False).returncode, 5)
            self.assertEqual(mesh.box("s1", "rollback", "seven", check=False).returncode, 64)

            # A restart does not lead forward, nor does the controller.
            mesh.kill_node("s1")
            mesh.start_node("s1")
            mesh.start_node("s2")
            mesh.start_controller()
            for site in ("s1", "s2"):
                mesh.wait_synced(site, version=1)
                wait_until(lambda: mesh.states()[f"r1.{site}"] == "diverged", f"{site} is known to have gone back")
            items = mesh.json("log", "--type", "OutcomeReported")["items"]
            told = [event["message"] for item in items for event in item["events"]]
            self.assertEqual(told.count("rolled back on the box: v2 -> v1"), 2)

            # What is activated next is followed.
            mesh.commit_change(44)
            mesh.cli("activate", "all", "--no-wait")
            for site in ("s1", "s2"):
                mesh.wait_synced(site, version=3)

    def test_leaving_is_told_when_somebody_listens(self):
        with MovingMesh() as mesh:
            self.two_versions(mesh)
            self.assertEqual(mesh.box("s1", "leave", "--dataplane", "dry-run", check=False).returncode, 6)
            mesh.stop_node("s1")
            said = mesh.box("s1", "leave", "--dataplane", "dry-run").stdout.decode()
            self.assertIn("the controller was told", said)
            wait_until(lambda: mesh.states()["r1.s1"] == "left", "the controller says so")
            self.assertEqual(os.listdir(mesh.dir / "s1"), [])
            mesh.kill_controller()
            mesh.stop_node("s2")
            self.assertIn("could not be told", mesh.box("s2", "leave", "--dataplane", "dry-run").stdout.decode())

    def test_a_slow_asker_is_not_waited_for(self):
        with MovingMesh() as mesh:
            mesh.start_controller()
            mesh.sites(1)
            with socket.socket(socket.AF_UNIX) as asker:
                asker.connect(str(mesh.dir / "s1/control.sock"))
                with self.assertRaises(OSError, msg="it is hung up on, before its line is whole"):
                    for _ in range(200):
                        asker.sendall(b"x")
                        time.sleep(0.05)
            mesh.box("s1", "history")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_others_may_not(self):
        with MovingMesh() as mesh:
            self.two_versions(mesh)
            mesh.dir.chmod(0o755)
            for verb in (["rollback"], ["history"], ["endpoints", "set", mesh.new], ["leave"]):
                done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "--regid", "65534",
                                       BIN / "meshnode", *verb, "--data", mesh.dir / "s1"], capture_output=True)
                self.assertEqual(done.returncode, 4, done.stderr)
                self.assertIn(b"run as root", done.stderr)
            self.assertEqual(mesh.node_status("s1")["active"], 2)


if __name__ == "__main__":
    unittest.main()
