#!/usr/bin/python3
"""Claim: what the model says is what the kernels do. On real networks, before and after each single link failure
and after its repair, the next hop of every router for every LAN and every loopback, IPv4 and IPv6, is the one that
`meshcli simulate --routes` names, and the pairs of LAN hosts that reach each other are those that follow from it.
Method: `ops/lab up --topology`, a cut in the internet between the link's ends, a comparison of all kernel routes that
BIRD made with the model until they agree (the bound is reached only by a failure); then pings of all pairs, and the
comparison once more. By default one network of 6 nodes and three failures; with MESH_LAB_LONG=1
(`ops/test --lab-long`) three networks of 6 to 12 nodes and every link. Prints what was compared. Exit code 77 =
skipped."""

import ipaddress
import json
import os
import time

from fixture import LabTest, main, unreachable
from lab_net import set_cut

LONG = bool(os.environ.get("MESH_LAB_LONG"))
SHORT = [(1, 2), (2, 4), (4, 6)]  # of layer42: a bridge, and two with a way round
NETWORKS = ["layer42", "abilene-11", "polska"] if LONG else ["layer42"]
CONVERGED_SECONDS = 90
SILENT_SECONDS = 0.5  # how long a pair is asked that must not answer


class RoutesTest(LabTest):
    SITES = None
    maxDiff = None

    def start(self, network):
        self.up("--topology", network)
        self.routes = self.pairs = 0
        self.by_node = {self.mesh.node_name(site): site for site in self.mesh.sites}

    def model(self, failed):
        """{site: {prefix: interface}} of what is routed over the mesh; failed: a link, or None."""
        listed = self.mesh.cli_json("simulate", *self.fail_options(failed), "--routes")
        self.assertEqual(len(listed["items"]), len(self.mesh.sites))
        out = {}
        for item in listed["items"]:
            self.assertTrue(item["up"])
            # Every LAN and loopback in both families is named, also the own ones and those that nobody reaches.
            self.assertEqual(len(item["routes"]), 4 * len(self.mesh.sites))
            out[self.by_node[item["fullname"]]] = {
                prefix: route["via"] for prefix, route in item["routes"].items() if route and route["via"] != "local"}
        return out

    def kernels(self):
        out = {}
        for site in self.mesh.sites:
            out[site] = {}
            for family in ("-4", "-6"):
                listed = self.mesh.in_router(site, "ip", family, "-j", "route", "show", "proto", "bird")
                for route in json.loads(listed):
                    out[site][str(ipaddress.ip_network(route["dst"]))] = route["dev"]
        return out

    @staticmethod
    def differences(model, kernels):
        both = [(site, prefix, model[site].get(prefix), kernels[site].get(prefix))
                for site in model for prefix in sorted(model[site].keys() | kernels[site].keys())]
        return [f"{site.name}: {prefix} by {said} in the model, by {is_so} in the kernel"
                for site, prefix, said, is_so in both if said != is_so]

    def reached(self, model):
        """The pairs of sites that the model's next hops lead from one to the other; a loop leads nowhere."""
        pairs = set()
        for a in self.mesh.sites:
            for b in self.mesh.sites:
                here, steps = a, 0
                while here is not b and steps < len(self.mesh.sites):
                    via = model[here].get(str(ipaddress.ip_network(f"{b.lan4}/24", strict=False)))
                    if via is None:
                        break
                    here, steps = self.mesh.site(f"site{int(via.removeprefix('tlwg_')) - 10}"), steps + 1
                if a is not b and here is b:
                    pairs.add((a.name, b.name))
        return pairs

    def check(self, failed):
        model = self.model(failed)
        deadline = time.monotonic() + CONVERGED_SECONDS
        while differences := self.differences(model, self.kernels()):
            if time.monotonic() > deadline:
                self.fail(f"link {failed} down: {len(differences)} differences: {differences[:10]}")
            time.sleep(0.05)
        self.check_pings(failed, self.reached(model))
        self.assertEqual(self.differences(model, self.kernels()), [])
        self.routes += sum(len(routes) for routes in model.values())

    def check_pings(self, failed, wanted):
        all_pairs = {(a.name, b.name) for a in self.mesh.sites for b in self.mesh.sites if a is not b}
        limit = 10 if wanted == all_pairs else SILENT_SECONDS
        deadline = time.monotonic() + CONVERGED_SECONDS
        silent = set(unreachable(self.mesh.sites, limit))
        expected = {(a, b, family) for a, b in all_pairs - wanted for family in (4, 6)}
        while silent - expected and time.monotonic() < deadline:  # a packet under way when the route changed
            silent &= set(unreachable(self.mesh.sites, limit))
        self.assertEqual(silent, expected, f"link {failed} down")
        self.pairs += 2 * len(all_pairs)
        # A pair of LANs counts once for both ways, and for each family.
        self.assertEqual(self.mesh.cli_json("simulate", *self.fail_options(failed))["totals"]["lost"],
                         len(all_pairs - wanted))

    @staticmethod
    def fail_options(failed):
        return ["--fail", "link", *(f"gw.site{number}" for number in failed)] if failed else []

    def test_the_kernels_route_as_the_model_says(self):
        for network in NETWORKS:
            with self.subTest(network):
                self.start(network)
                links = [link[:2] for link in self.mesh.graph.links] if LONG else SHORT
                self.check(None)
                for link in links:
                    one, two = (self.mesh.site(f"site{number}").wan4 for number in link)
                    set_cut(one, two, True)
                    self.check(link)
                    set_cut(one, two, False)
                    self.check(None)
                print(f"{network}: {len(self.mesh.sites)} nodes, {len(links)} failures and repairs, {self.routes} "
                      f"kernel routes and {self.pairs} pairs compared, all as the model says", flush=True)


if __name__ == "__main__":
    main()
