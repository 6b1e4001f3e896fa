#!/usr/bin/python3
"""Claim: three routers whose controller is lost with all its keys are adopted by a new one, two by root and one from
afar with the recovery secret, and no packet between their LANs is lost; no tunnel and no session changes until the new
log activates a version, also over a reboot of one of them in between; and the first version of the new log changes
nothing but the pre-shared keys, without a session that begins anew.
Method: `ops/lab up --sites 3` with real WireGuard and BIRD; the old controller's directory is removed, the new one
listens at another port of its address. Pings of all pairs, the indexes of the interfaces, the kernel's pre-shared keys
and since when BIRD holds each session. Exit code 77 = skipped."""

import json
import os
import re
import shutil
import signal
import time

from fixture import LabTest, lab, main
from lab_mesh import binary
from lab_net import CONTROLLER_NS


class Recover(LabTest):
    SITES = 3

    def new_controller(self):
        """The intent from an export; networks as they were, which nobody had set."""
        mesh = self.mesh
        intent = mesh.path("intent.yaml")
        with open(intent, "w", encoding="utf-8") as file:
            file.write(mesh.cli("export"))
        networks = re.findall(r"(?m)^(loopbacknet_ipv[46]) +(\S+)", mesh.cli("show_all", "global"))
        lab("controller", "kill")
        shutil.rmtree(mesh.data)
        mesh.port = 7410
        mesh.init_controller()
        mesh.start_controller()
        mesh.cli("apply", "-f", intent)
        for name, network in networks:
            mesh.cli("set", "global", name, network)

    def adopt_by_root(self, site):
        path = self.mesh.path("nodes", f"{site.name}.token")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.mesh.cli_json("token", "create", "--node", self.mesh.node_name(site))["token"])
        self.mesh.in_router(site, binary("meshnode"), "adopt", "--data", self.mesh.node_data(site), "--token-file",
                            path)

    def adopt_from_afar(self, site, secret):
        mesh = self.mesh
        mesh.end(site.name, site.router_ns, signal.SIGKILL)
        mesh.spawn(site.name, [*mesh.enter_router(site), binary("meshnode"), "run", "--data", mesh.node_data(site),
                               "--dataplane", mesh.dataplane, "--allow", mesh.allow_file(site), "--authorized-keys",
                               mesh.authorized_keys(site), "--recovery-after", "2"])
        mesh.spawn("recover", [*mesh.enter_controller(), binary("meshcli"), "--context", mesh.context, "recover",
                               "--recovery", secret, "--listen", f"tcp://{mesh.address}:7400", "--once",
                               mesh.node_name(site)])
        self.wait("the listener has adopted it", lambda: mesh.pid_of("recover", CONTROLLER_NS) is None,
                  seen=lambda: mesh.log_tail("recover"))

    def keys(self, site):
        """{interface: (its index, its pre-shared key)}"""
        out = {}
        for row in self.mesh.in_router(site, "wg", "show", "all", "preshared-keys").splitlines():
            name, _, psk = row.split("\t")
            link = json.loads(self.mesh.in_router(site, "ip", "-j", "link", "show", name))[0]
            out[name] = (link["ifindex"], psk)
        return out

    def adopted(self, site):
        status = self.mesh.node_status(site)
        return status["controller"] == "connected" and status["taken_over"] == f"v1 of log {self.old}"

    def test_a_lost_controller_is_replaced_under_traffic(self):
        mesh = self.mesh
        self.wait_sessions()
        one, two, three = mesh.sites
        self.old = mesh.cli_json("controller", "status")["log"]
        secret = mesh.path("fleet.recovery")
        mesh.cli("node", "recovery", mesh.node_name(three), "--recovery-out", secret)
        self.wait_at_head()
        pings = self.pings(self.ring())
        sessions = {site.name: self.sessions(site) for site in mesh.sites}
        keys = {site.name: self.keys(site) for site in mesh.sites}

        self.new_controller()
        self.adopt_by_root(one)
        self.adopt_by_root(two)
        self.adopt_from_afar(three, secret)
        for site in mesh.sites:
            self.wait(f"{site.name} is one of the new log", lambda site=site: self.adopted(site))
            self.assertEqual(self.keys(site), keys[site.name], "nothing was touched")
            self.assert_same_sessions(sessions[site.name], self.sessions(site))
        lost = [ping.stop() for ping in pings]
        self.assertEqual([each["lost"] for each in lost], [0] * len(lost), lost)

        lab("node", two.name, "reboot")
        self.all_reach()
        self.wait_sessions()
        self.wait("it is back", lambda: self.adopted(two))
        self.assertEqual({name: psk for name, (_, psk) in self.keys(two).items()},
                         {name: psk for name, (_, psk) in keys[two.name].items()}, "with the keys of the old log")

        pings = self.pings(self.ring())
        sessions = {site.name: self.sessions(site) for site in mesh.sites}
        before = {site.name: self.keys(site) for site in mesh.sites}
        mesh.cli("commit", "all", "-m", "the new log's first")
        mesh.cli("activate", "all")
        self.wait_at_head()
        for site in mesh.sites:
            status = mesh.node_status(site)
            self.assertEqual((status["active"], status["taken_over"], status["problem"]), (1, "", ""))
            now = self.keys(site)
            self.assertEqual({name: index for name, (index, _) in now.items()},
                             {name: index for name, (index, _) in before[site.name].items()})
            for name in now:
                self.assertNotEqual(now[name][1], before[site.name][name][1], "bound to the new log")
            self.assert_same_sessions(sessions[site.name], self.sessions(site))
        time.sleep(2)
        lost = [ping.stop() for ping in pings]
        self.assertEqual([each["lost"] for each in lost], [0] * len(lost), lost)
        # The new keys agree: a handshake is made with them.
        for site in mesh.sites:
            lab("node", site.name, "reboot")
        self.all_reach()
        self.assertTrue(os.path.isdir(os.path.join(mesh.node_data(one), "before/1/replica")), "the old log is kept")


if __name__ == "__main__":
    main()
