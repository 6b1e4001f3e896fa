"""Random changes and faults on a running lab, one at a time, with everything checked after each.

A step does something, waits until the mesh is quiet (Watch.settle: heads and roots agree, sessions are up, exactly
the programs that must run do run, all pairs that a path joins reach each other, the history verifies), undoes it, and
waits again.
"""

import json
import os
import random
import signal
import time

import lab_net
from lab_net import CONTROLLER4, LabError, say
from lab_watch import Growth, Watch, World, processes

WARM_UP_STEPS = 15
FIRE_SECONDS = 0.6  # a change over takes about a second from the activation to the last route
WARM_UP_PART = 0.3  # of the time, when that comes first
ATTRIBUTES = {  # within these any two neighbours go on talking, also while only one of them has the change
    "wg_keepalive": (5, 60),
    "bfd_interval_ms": (300, 600),
    "bfd_multiplier": (3, 6),
    "wg_mtu": (1380, 1420),
    "wg_listenport_base": (51820, 52820),
}


class Soak:
    def __init__(self, mesh, seed):
        self.mesh = mesh
        self.seed = seed
        self.random = random.Random(seed)
        self.world = World(mesh)
        self.watch = Watch(self.world)
        self.growth = Growth(mesh)
        self.found = 0      # the newest entry before the first step
        self.counts = {}
        self.story = []     # of the step under way
        self.touched = set()  # programs that this step may end: keys of lab_watch.Process, or prefixes of them
        # A kind of step and how often it comes, in relation to the others.
        self.kinds = {
            self.change: 4, self.change_under_fire: 4,
            self.change_and_discard: 1, self.commit_then_activate: 2, self.go_back_and_forward: 2,
            self.change_and_roll_back: 2, self.lan: 3, self.unlink: 2, self.cut: 4, self.apart: 2, self.away: 2,
            self.kill_agent: 2, self.kill_controller: 2, self.stop_controller: 1, self.kill_tunnel: 3,
            self.kill_bird: 2, self.reboot: 2, self.power_cut: 2, self.reboot_alone: 2, self.blackout: 1,
            self.confirmed: 4,
        }

    # Running.

    def run(self, minutes):
        started = time.monotonic()
        deadline = started + 60 * minutes
        say(f"soak of {len(self.mesh.sites)} sites for {minutes:g} min, seed {self.seed}")
        steps = 0
        try:
            self.watch.settle()
        except LabError as error:
            raise LabError(f"the lab is not whole before the first step: {error}") from None
        self.found = self.watch.head
        self.growth.measure()
        failure = None
        while failure is None and time.monotonic() < deadline:
            steps += 1
            failure = self.one_step(steps, started)
            if not self.growth.baseline and (steps >= WARM_UP_STEPS or
                                             time.monotonic() - started > WARM_UP_PART * 60 * minutes):
                self.growth.warmed_up()
        if failure is None:
            steps += 1
            failure = self.one_step(steps, started, self.leave_as_found)
        return {"ok": failure is None, "failure": failure, "seed": self.seed, "sites": len(self.mesh.sites),
                "minutes": round((time.monotonic() - started) / 60, 1), "steps": steps,
                "kinds": dict(sorted(self.counts.items())), "pairs_asked": self.watch.pairs_asked,
                "entries": self.watch.head, "growth": self.growth.report()}

    def one_step(self, number, started, kind=None):
        """Returns what went wrong; None when all is well."""
        kind = kind or self.random.choices(list(self.kinds), list(self.kinds.values()))[0]
        name = kind.__name__.replace("_", " ")
        self.story, self.touched = [], set()
        before = {process.key: process.pid for process in processes(self.mesh)}
        began = time.monotonic()
        try:
            kind()
            self.watch.settle()
            self.check_untouched(before)
            self.growth.measure()
            self.growth.check()
        except (LabError, ValueError, KeyError) as error:  # the last two: a program said what it never says
            said = str(error) if isinstance(error, LabError) else repr(error)
            return f"step {number} ({name}: {'; '.join(self.story)}): {said}"
        self.counts[name] = self.counts.get(name, 0) + 1
        now = time.monotonic()
        say(f"{number:>4}  {int(now - started) // 60:>3}:{int(now - started) % 60:02}  "
            f"{'; '.join(self.story)}: ok, {now - began:.1f} s")
        return None

    def check_untouched(self, before):
        """Nothing that this step did not end has ended, not even to be started again."""
        after = {process.key: process.pid for process in processes(self.mesh)}
        for key, pid in before.items():
            if after.get(key) != pid and not any(key[:len(touched)] == touched for touched in self.touched):
                raise LabError(f"{key[0]} {key[2]} of site {key[1]} (pid {pid}) ended, and nobody ended it")

    def tell(self, text):
        self.story.append(text)

    def wait(self, condition, otherwise):
        deadline = time.monotonic() + self.watch.limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"{otherwise} within {self.watch.limit_s} s")
            time.sleep(0.02)

    # Choosing.

    def any_site(self):
        return self.random.choice(self.mesh.sites)

    def any_link(self):
        """A link without which all still reach each other; None when there is none."""
        links = [link for link in sorted(self.world.links) if self.world.stays_connected_without(link)]
        return self.random.choice(links) if links else None

    # Changes through meshcli.

    def set_something(self):
        name = self.random.choice(list(ATTRIBUTES))
        site = self.any_site()
        scope = self.random.choice([("global",), ("site", site.name), ("node", self.mesh.node_name(site))])
        low, high = ATTRIBUTES[name]
        value = "empty" if self.random.random() < 0.25 else str(self.random.randint(low, high))
        self.tell(f"set {' '.join(scope)} {name} {value}")
        self.mesh.cli("set", *scope, name, value)

    def commit(self, *more):
        self.mesh.cli("commit", "all", "-m", "soak", "--yes", "--allow-loss", *more)

    def activate(self):
        """Commits and activates all; what is already so is a success."""
        self.commit()
        self.mesh.cli("activate", "all", "--yes")

    def change(self):
        for _ in range(self.random.randint(1, 3)):
            self.set_something()
        self.activate()

    def change_and_discard(self):
        self.set_something()
        self.mesh.cli("discard", "all", "--yes")
        self.tell("discard")

    def commit_then_activate(self):
        self.set_something()
        self.commit()
        self.tell("commit")
        self.watch.settle()
        self.mesh.cli("activate", "all", "--yes")
        self.tell("activate")

    def go_back_and_forward(self):
        """One node goes back to its former version and forward again."""
        site = self.any_site()
        node = self.mesh.node_name(site)
        now = self.mesh.node_status(site)["active"]
        keepalive = self.random.randint(5, 60)
        self.mesh.cli("set", "node", node, "wg_keepalive", str(keepalive))
        self.activate()
        self.watch.settle()
        self.mesh.cli("activate", "node", node, f"v{now}", "--yes")
        self.tell(f"{node} back to v{now}")
        self.watch.settle()
        self.mesh.cli("activate", "node", node, "--yes")
        self.tell("and forward")

    def change_and_roll_back(self):
        before = self.mesh.cli_json("controller", "status")["sequence"]
        self.change()
        self.watch.settle()
        self.mesh.cli("rollback", str(before), "--yes")
        self.tell(f"rollback {before}")
        self.activate()

    def confirmed(self):
        """An activation that waits: confirmed, cancelled, extended and confirmed, or not confirmed at all."""
        end = self.random.choice(["confirm", "cancel", "extend", "expire", "expire alone"])
        seconds = 10 if end.startswith("expire") else 60
        self.set_something()
        self.commit("--activate", f"--confirmed={seconds}s")
        if not self.waiting():
            self.tell("no change to confirm")
            return
        self.tell(f"activated for {seconds} s: {end}")
        if end == "extend":
            self.mesh.cli("extend", "90s")
        if end in ("confirm", "extend"):
            self.mesh.cli("confirm")
        elif end == "cancel":
            self.mesh.cli("cancel")
        elif end == "expire":
            self.wait(lambda: not self.waiting(), "the deadline does not end it")
        else:
            self.without_controller(self.mesh.kill_controller, lambda: self.wait(
                lambda: not any(self.mesh.node_status(site)["pending"] for site in self.mesh.sites),
                "a node does not go back by itself"))
            self.wait(lambda: not self.waiting(), "the deadline does not end it")
        self.watch.settle()
        self.mesh.cli("activate", "all", "--yes")

    def waiting(self):
        return self.mesh.cli_json("status")["pending"]

    def lan(self):
        """A site announces a second LAN, or stops to."""
        site = self.any_site()
        adding = site.number not in self.world.extra_lans
        prefix = f"10.{site.number}.1"
        lans = json.loads(site.lans) + ([f"{prefix}.0/24"] if adding else [])
        self.mesh.in_router(site, "ip", "addr", "replace" if adding else "del", f"{prefix}.1/24", "dev", "lan0")
        self.mesh.cli("set", "site", site.name, "lans", json.dumps(lans))
        self.activate()
        self.world.extra_lans ^= {site.number}
        self.tell(f"{site.name} {'announces' if adding else 'no longer announces'} {prefix}.0/24")

    def leave_as_found(self):
        self.mesh.cli("rollback", str(self.found), "--yes")
        self.activate()
        for number in sorted(self.world.extra_lans):
            site = self.mesh.site(f"site{number}")
            self.mesh.in_router(site, "ip", "addr", "del", f"10.{number}.1.1/24", "dev", "lan0")
        self.world.extra_lans.clear()
        self.tell(f"rollback {self.found}, as it was found")

    def unlink(self):
        """A link is taken out of the intent and put back: tunnels, sessions and processes go and come."""
        link = self.any_link()
        if link is None:
            return self.change()
        before = self.mesh.cli_json("controller", "status")["sequence"]
        for site in self.mesh.sites:
            groups = self.groups_without(link, site.number)
            if groups is not None:
                self.mesh.cli("set", "node", self.mesh.node_name(site), "groups", json.dumps(groups))
        self.touched = {("wireguard-go", one, f"tlwg_{10 + two}") for one, two in (link, link[::-1])}
        self.activate()
        self.tell(f"without the link {link}")
        self.world.links.discard(link)
        self.watch.settle()
        self.mesh.cli("rollback", str(before), "--yes")
        self.activate()
        self.world.links.add(link)
        self.tell("and with it")
        return None

    def groups_without(self, link, number):
        """What `groups` a node needs, so that this link alone is gone; None = those that it has."""
        if self.mesh.graph.name is not None:
            left = [name for name in self.mesh.graph.groups(number) if name != f"link-{link[0]}-{link[1]}"]
            return left if number in link else None
        return {link[0]: ["one"], link[1]: ["two"]}.get(number, ["one", "two"])

    def change_under_fire(self):
        """Something dies while the routers change over."""
        for _ in range(self.random.randint(1, 3)):
            self.set_something()
        self.commit()
        self.mesh.cli("activate", "all", "--yes", "--no-wait")
        time.sleep(self.random.uniform(0, FIRE_SECONDS))  # a moment within the change, not a wait for anything
        self.random.choice([self.restart_agent, self.restart_controller, self.kill_tunnel, self.kill_bird,
                            self.reboot])()

    def restart_agent(self):
        site = self.any_site()
        self.touched.add(("meshnode", site.number))
        self.mesh.kill_agent(site)
        self.mesh.start_agent(site)
        self.tell(f"meshnode of {site.name} killed and started")

    def restart_controller(self):
        self.touched.add(("meshd",))
        self.mesh.kill_controller()
        self.mesh.start_controller()
        self.tell("controller killed and started")

    # Faults.

    def cut(self):
        link = self.any_link()
        if link is None:
            return self.change()
        one, two = (self.mesh.site(f"site{number}") for number in link)
        self.tell(f"cut {one.name} {two.name}")
        lab_net.set_cut(one.wan4, two.wan4, True)
        self.world.cut.add(link)
        self.wait_until_dead(link)
        self.watch.settle()
        lab_net.set_cut(one.wan4, two.wan4, False)
        self.world.cut.discard(link)
        self.tell("heal")
        return None

    def wait_until_dead(self, link):
        """Until both ends have seen the cut, or pings would still be asked over a path that is going to break."""
        ends = [self.mesh.site(f"site{number}") for number in link]
        self.wait(lambda: not any(one["bfd_up"] for site in ends for one in self.mesh.node_status(site)["links"]
                                  if one["peer"] == self.watch.node_id(link, site)), "BFD does not see the cut")

    def apart(self):
        """A change while one site is cut off from the controller; it follows when it is back."""
        site = self.any_site()
        self.tell(f"{site.name} cut off from the controller")
        lab_net.set_cut(site.wan4, CONTROLLER4, True)
        self.world.apart.add(site.number)
        self.set_something()
        self.commit()
        self.mesh.cli("activate", "all", "--yes", "--no-wait")
        if self.random.random() < 0.5:
            self.wait(lambda: self.mesh.node_status(site)["controller"] == "unreachable", "it does not notice")
            self.tell("noticed")
        self.watch.settle()
        lab_net.set_cut(site.wan4, CONTROLLER4, False)
        self.world.apart.discard(site.number)
        self.tell("heal")

    def away(self):
        """A change while one router has no power; it follows when it boots."""
        site = self.any_site()
        self.power_off(site)
        self.set_something()
        self.commit()
        self.mesh.cli("activate", "all", "--yes", "--no-wait")
        self.watch.settle()
        self.power_on(site)

    def power_off(self, site):
        self.touched.add(("meshnode", site.number))
        self.touched |= {("bird", site.number), ("wireguard-go", site.number), ("sleep", site.number)}
        self.world.off.add(site.number)
        self.mesh.kill_node(site)
        self.tell(f"{site.name} loses power")

    def power_on(self, site):
        self.mesh.start_node(site)
        self.world.off.discard(site.number)
        self.tell("boots")

    def power_cut(self):
        site = self.any_site()
        self.power_off(site)
        self.watch.settle()
        self.power_on(site)

    def reboot(self):
        site = self.any_site()
        self.power_off(site)
        self.power_on(site)

    def kill_agent(self):
        site = self.any_site()
        self.touched.add(("meshnode", site.number))
        self.mesh.kill_agent(site)
        self.world.agents_down.add(site.number)
        self.tell(f"meshnode of {site.name} killed")
        self.watch.settle()
        self.mesh.start_agent(site)
        self.world.agents_down.discard(site.number)
        self.tell("started")

    def without_controller(self, end, meanwhile):
        self.touched.add(("meshd",))
        end()
        self.world.controller_up = False
        meanwhile()
        self.watch.settle()
        self.mesh.start_controller()
        self.world.controller_up = True
        self.tell("controller started")

    def kill_controller(self):
        self.tell("controller killed")
        self.without_controller(self.mesh.kill_controller, lambda: None)

    def stop_controller(self):
        self.tell("controller stopped")
        self.without_controller(self.mesh.stop_controller, lambda: None)

    def reboot_alone(self):
        """A router boots from its own disk while the controller is dead."""
        self.tell("controller killed")
        self.without_controller(self.mesh.kill_controller, self.reboot)

    def blackout(self):
        """All routers lose power, the controller with them, and boot without it."""
        self.tell("controller killed")
        self.without_controller(self.mesh.kill_controller, self.reboot_all)

    def reboot_all(self):
        for site in self.mesh.sites:
            self.power_off(site)
        for site in self.mesh.sites:
            self.power_on(site)

    def kill_one(self, program):
        victim = self.random.choice(sorted((process for process in processes(self.mesh)
                                            if process.program == program), key=lambda process: process.key))
        self.touched.add(victim.key)
        self.tell(f"{program} {victim.detail} of site{victim.site} killed".replace("  ", " "))
        os.kill(victim.pid, signal.SIGKILL)
        self.wait(lambda: not lab_net.lives_in(victim.pid, f"mesh-site{victim.site}"), "it does not end")

    def kill_tunnel(self):
        self.kill_one("wireguard-go")

    def kill_bird(self):
        self.kill_one("bird")
