#!/usr/bin/python3
"""Claim: Ansible reaches every attached node over the management network, also one behind NAT that nobody can dial, and
its inventory is the log: groups per site and per group attribute, host variables, the active version; a node that is
not attached is named and left out; Ansible's exit code is that of meshcli; what is announced in the mesh does not know
the management network.
Method: four real sites; the first is the hub, on whose machine Ansible runs; the internet masks the last one and lets
nothing in to it. Real ansible over real ssh: an sshd in every router, on its management address, that lets in whom
node_sshauthkeys names. Exit code 77 = skipped (also without ansible-core or openssh-server)."""

import json
import os
import shutil
import subprocess
import sys
import unittest

from fixture import LabTest, lab, main
from lab_mesh import binary
from lab_net import read_text, run, write_text

PLAY = """- hosts: group_edge
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ node_id }} {{ site }} v{{ version_active }}\\n"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.said"
"""
SSHD = """Port 22
ListenAddress {address}
HostKey {keys}/host
AuthorizedKeysFile {authorized}
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""


class AnsibleTest(LabTest):
    SITES = 4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hub, *_, cls.masked = cls.mesh.sites
        cls.put_behind_nat(cls.masked)
        cls.keys = os.path.join(cls.directory(), "ssh")
        os.mkdir(cls.keys, 0o700)
        for name in ("host", "login"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", os.path.join(cls.keys, name))
        login = read_text(os.path.join(cls.keys, "login.pub")).strip()
        for site in cls.mesh.sites:
            write_text(cls.mesh.allow_file(site), "ssh_keys = true\n")
        cli = cls.mesh.cli
        cli("set", "global", "management_hub", cls.mesh.node_name(cls.hub))
        cli("set", "global", "node_sshauthkeys", json.dumps([login]))
        cli("set", "node", cls.mesh.node_name(cls.masked), "endpoint", "empty")
        cli("set", "site", "site2", "groups", '["default", "edge"]')
        cli("set", "node", cls.mesh.node_name(cls.masked), "groups", '["default", "edge"]')
        cli("commit", "all", "-m", "a management network")
        cli("activate", "all")
        cls.inventory = json.loads(cli("inventory", "--list"))
        cls.hosts = cls.inventory["_meta"]["hostvars"]
        host_key = read_text(os.path.join(cls.keys, "host.pub"))
        known = [f"{host['ansible_host']} {host_key}\n" for host in cls.hosts.values()]
        write_text(os.path.join(cls.keys, "known"), "".join(known))

    @staticmethod
    def put_behind_nat(site):
        """What comes from the site has an address of the internet's, and what nobody there asked for is dropped."""
        nft = ("exec", "inet", "--", "nft")
        lab(*nft, "add", "table", "ip", "masking")
        lab(*nft, "add", "chain", "ip", "masking", "out", "{ type nat hook postrouting priority 100 ; }")
        lab(*nft, "add", "rule", "ip", "masking", "out", "iifname", site.name, "masquerade")
        lab(*nft, "add", "rule", "inet", "lab", "forward", "oifname", site.name, "ct", "state", "new", "drop")

    def address(self, site):
        return self.hosts[self.mesh.node_name(site)]["ansible_host"]

    def start_sshd(self, site):
        config = os.path.join(self.keys, f"{site.name}.conf")
        write_text(config, SSHD.format(address=self.address(site), keys=self.keys,
                                        authorized=self.mesh.authorized_keys(site)))
        self.mesh.in_router(site, "mkdir", "-p", "/run/sshd")
        with open(os.path.join(self.keys, f"{site.name}.log"), "w") as log:
            sshd = subprocess.Popen([*self.mesh.enter_router(site), shutil.which("sshd"), "-D", "-e", "-f", config],
                                    stdin=subprocess.DEVNULL, stderr=log)
        self.addCleanup(sshd.wait)
        self.addCleanup(sshd.kill)

    def on_the_hub(self, *words, code=0):
        env = os.environ | {"ANSIBLE_PRIVATE_KEY_FILE": os.path.join(self.keys, "login"), "ANSIBLE_REMOTE_USER": "root",
                            "ANSIBLE_LOCAL_TEMP": self.keys, "HOME": self.keys, "LC_ALL": "C.UTF-8",
                            "ANSIBLE_SSH_ARGS": f"-o UserKnownHostsFile={self.keys}/known -o ConnectTimeout=30"}
        done = subprocess.run([*self.mesh.enter_router(self.hub), binary("meshcli"), "--context", self.mesh.context,
                               *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400)
        if done.returncode != code:
            self.fail(f"exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}{self.ssh_logs()}")
        return done

    def ssh_logs(self):
        return "".join(read_text(os.path.join(self.keys, name)) for name in os.listdir(self.keys)
                       if name.endswith(".log"))

    def test_1_the_inventory_is_the_log(self):
        names = [self.mesh.node_name(site) for site in self.mesh.sites]
        self.assertEqual(self.inventory["all"]["hosts"], names)
        self.assertEqual(self.inventory["site_site2"]["hosts"], names[1:2])
        self.assertEqual(self.inventory["group_edge"]["hosts"], [names[1], names[3]])
        one = json.loads(self.mesh.cli("inventory", "--host", names[1]))
        self.assertEqual(one, self.hosts[names[1]])
        self.assertEqual((one["node_id"], one["site"], one["version_active"]), (12, "site2", one["version_latest"]))

    def test_2_ansible_reaches_all_over_the_management_network(self):
        for site in self.mesh.sites[1:]:
            self.wait(f"the hub reaches {site.name}", lambda: subprocess.run(
                [*self.mesh.enter_router(self.hub), "ping", "-c1", "-W1", self.address(site)],
                capture_output=True).returncode == 0)
        for site in self.mesh.sites:
            self.start_sshd(site)
        self.mesh.cli("add", "node", "later.site2")
        done = self.on_the_hub("ansible", "all", "all", "-m", "ping")
        self.assertEqual(done.stdout.count('"ping": "pong"'), self.SITES, done.stdout)
        self.assertIn("not attached, left out: later.site2", done.stderr)

        play = os.path.join(self.keys, "play.yml")
        write_text(play, PLAY)
        self.on_the_hub("ansible_playbook", "all", play)
        for site in (self.mesh.sites[1], self.masked):
            name = self.mesh.node_name(site)
            said = read_text(os.path.join(self.keys, f"{name}.said")).strip()
            self.assertEqual(said, f"{10 + site.number} {site.name} v{self.hosts[name]['version_active']}")
        failed = self.on_the_hub("ansible", "site", "site3", "all", "-m", "command", "-a", "false", code=2)
        self.assertIn("gw.site3 | FAILED", failed.stdout)
        self.assertNotIn("gw.site2", failed.stdout)
        none = self.on_the_hub("ansible", "node", "later.site2", "all", "-m", "ping", code=7)
        self.assertIn("no attached nodes selected", none.stderr)

    def test_3_the_mesh_knows_nothing_of_it(self):
        self.all_reach()
        network = self.address(self.hub).rsplit(":", 1)[0]
        for site in self.mesh.sites:
            routes = self.mesh.in_router(site, "ip", "-6", "route").splitlines()
            of_it = [route for route in routes if route.startswith(network)]
            self.assertEqual(len(of_it), 1, routes)
            self.assertIn("dev tlwg_mgmt proto kernel", of_it[0])


if __name__ == "__main__":
    needed = ("ansible", "ansible-playbook", "sshd", "ssh-keygen")
    missing = [program for program in needed if not shutil.which(program)]
    if missing:
        print(f"not installed: {', '.join(missing)} (apt-get install ansible-core openssh-server)")
        sys.exit(77)
    main(unittest.main)
