#!/usr/bin/python3
"""Claim: a short soak is clean, and a soak sees what it is there to see: a process too many, a router that died, a pair
that is cut, and growth.
Method: `ops/lab soak` on three real sites for a third of a minute with a random seed (printed), then defects planted by
hand that the soak's own record does not know of. Exit code 77 = skipped."""

import json
import subprocess

from fixture import LAB, LabTest, lab, main
from lab_net import LabError
from lab_watch import Growth, Watch, World

MINUTES = "0.3"


class SoakTest(LabTest):
    def watch(self):
        watch = Watch(World(self.mesh))
        watch.settle()
        watch.limit_s = watch.reach_s = 2  # from here on nothing gets quiet again
        return watch

    def test_1_a_short_one_is_clean(self):
        soak = subprocess.run([LAB, "soak", "--minutes", MINUTES], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=400)
        self.assertEqual(soak.returncode, 0, soak.stderr + soak.stdout)
        summary = json.loads(soak.stdout)
        print(f"seed {summary['seed']}, {summary['steps']} steps, {summary['entries']} entries")
        self.assertTrue(summary["ok"])
        self.assertEqual(sum(summary["kinds"].values()), summary["steps"])
        self.assertGreater(summary["steps"], 0)

    def test_2_a_process_too_many_is_seen(self):
        watch = self.watch()
        inside = subprocess.Popen([LAB, "exec", "site1", "--", "sh", "-c", "echo here; exec sleep 1000"],
                                  stdout=subprocess.PIPE)
        inside.stdout.readline()
        self.assertRaisesRegex(LabError, "too many .*sleep", watch.settle)
        inside.kill()
        inside.wait()
        inside.stdout.close()
        watch.settle()

    def test_3_a_cut_that_nobody_made_is_seen(self):
        watch = self.watch()
        lab("cut", "site1", "site2")
        self.assertRaisesRegex(LabError, r"link .1, 2.: BGP", self.until_it_fails, watch)
        lab("heal", "site1", "site2")

    def test_4_a_dead_router_is_seen(self):
        watch = self.watch()
        lab("node", "site3", "kill")
        self.assertRaisesRegex(LabError, "site3: |link .1, 3.", watch.settle)
        self.assertRaisesRegex(LabError, "pairs do not reach each other", watch.check_reach)
        lab("node", "site3", "start")

    def test_5_growth_is_seen(self):
        growth = Growth(self.mesh)
        growth.measure()
        growth.warmed_up()
        growth.check()
        growth.baseline["meshnode open_files"] -= 9
        self.assertRaisesRegex(LabError, "meshnode open_files grew", growth.check)

    @staticmethod
    def until_it_fails(watch):
        """BFD needs a moment to see a cut: until then all is quiet."""
        for _ in range(200):
            watch.settle()


if __name__ == "__main__":
    main()
