#!/usr/bin/python3
"""Claim: every network of tests/data/topologies.json is a graph that the lab can build, groups make exactly its links,
and a graph that cannot be built is refused with what is wrong with it.
Method: ops/lab_topology.py alone; no root, no namespaces."""

import json
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../ops"))
import lab_topology  # noqa: E402
from lab_net import LabError  # noqa: E402

PLENTY_MB = 1 << 20


def graph_of(nodes, links, name="x"):
    return {"name": name, "nodes": [{"name": n} for n in nodes], "links": [{"a": a, "b": b} for a, b in links]}


class TopologyTest(unittest.TestCase):
    def load(self, content):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(content, file)
            file.flush()
            return lab_topology.load(file.name)

    def refused(self, content, about):
        with self.assertRaisesRegex(LabError, about) as caught:
            self.load(content)
        self.assertEqual(caught.exception.code, 64)

    def test_groups_make_exactly_the_links_of_every_known_network(self):
        graphs = lab_topology.known()
        self.assertEqual(len({graph.name for graph in graphs}), 25)
        self.assertEqual(min(len(graph.places) for graph in graphs), 6)
        for graph in graphs:
            numbers = range(1, len(graph.places) + 1)
            groups = {i: set(graph.groups(i)) for i in numbers}
            linked = {(a, b) for a in numbers for b in numbers if a < b and groups[a] & groups[b]}
            self.assertEqual(linked, {(a, b) for a, b, _ in graph.links}, graph.name)
            self.assertTrue(all(groups.values()), graph.name)
            lab_topology.check_fits(graph, PLENTY_MB)

    def test_the_same_name_twice_is_told_apart_by_nodes(self):
        self.assertEqual(len(lab_topology.load("abilene-11").places), 11)
        self.assertEqual(len(lab_topology.load("abilene-12").places), 12)

    def test_a_file_holds_one_graph_alone_or_in_a_collection(self):
        one = graph_of("abc", ["ab", "cb"])
        for content in (one, {"source": "me", "topologies": [one]}):
            graph = self.load(content)
            self.assertEqual((graph.name, graph.places), ("x", ["a", "b", "c"]))
            self.assertEqual(graph.links, [(1, 2, None), (2, 3, None)])
            again = lab_topology.Graph.of_record(json.loads(json.dumps(graph.record())))
            self.assertEqual(again.links, graph.links)
        self.refused({"topologies": [one, one]}, "several")

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        with self.assertRaisesRegex(LabError, r"layer42 \(6\)") as caught:
            lab_topology.load("layer43")
        self.assertEqual(caught.exception.code, 64)

    def test_what_is_no_graph_is_refused(self):
        self.refused([], "not {")
        self.refused({"name": "x", "nodes": [], "links": []}, "need names")
        self.refused(graph_of("aa", []), "each its own")
        self.refused(graph_of("ab", ["ax"]), "no node x")
        self.refused(graph_of("ab", ["ab", "ba"]), "there twice")
        self.refused(graph_of("ab", ["ab", "bb"]), "a loop")
        self.refused(graph_of("abcd", ["ab", "cd"]), "a does not reach c, d")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("{")
            file.flush()
            self.assertRaisesRegex(LabError, "Expecting", lab_topology.load, file.name)

    def test_what_does_not_fit_is_refused_before_anything_is_made(self):
        star = self.load(graph_of([str(i) for i in range(66)], [("0", str(i)) for i in range(1, 66)]))
        with self.assertRaisesRegex(LabError, "65 links"):
            lab_topology.check_fits(star, PLENTY_MB)
        line = self.load(graph_of([str(i) for i in range(251)], [(str(i), str(i + 1)) for i in range(250)]))
        with self.assertRaisesRegex(LabError, "251 nodes"):
            lab_topology.check_fits(line, PLENTY_MB)
        with self.assertRaisesRegex(LabError, "100 MB are free"):
            lab_topology.check_fits(lab_topology.load("layer42"), 100)


if __name__ == "__main__":
    unittest.main()
