"""Graphs for the lab: real networks by name (tests/data/topologies.json), or one from a file of the same form."""

import json
import os

from lab_net import SITES_MAX, LabError

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "tests/data/topologies.json")
GROUPS_MAX = 64  # items of a list attribute: the most links that a node's `groups` can name
# Measured on labs of 4 to 30 sites: meshnode, BIRD and holder of a site; the two wireguard-go of a link under load.
SITE_MB, LINK_MB = 25, 8
NAMES_SHOWN = 8


class Graph:
    """A connected graph without loops or parallel links. Nodes are the sites 1 to N, in the order of the file."""

    def __init__(self, name, places, links):
        self.name = name
        self.places = places  # by number - 1
        self.links = links    # (low, high, km or None), ascending

    def groups(self, number):
        """The groups of site `number`: one for each of its links, shared with the other end and nobody else."""
        return [f"link-{a}-{b}" for a, b, _ in self.links if number in (a, b)]

    def record(self):
        return {"name": self.name, "places": self.places, "links": self.links}

    @staticmethod
    def of_record(record):
        return Graph(record["name"], record["places"], [tuple(link) for link in record["links"]])

    @staticmethod
    def full_mesh(sites):
        numbers = range(1, sites + 1)
        return Graph(None, [None] * sites, [(a, b, None) for a in numbers for b in numbers if a < b])


def known():
    """Every network of the collection, in its order. Two of one name are told apart by their number of nodes."""
    graphs = [read_graph(entry) for entry in read_json(DATA)["topologies"]]
    names = [graph.name for graph in graphs]
    for graph, name in zip(graphs, names):
        if names.count(name) > 1:
            graph.name = f"{name}-{len(graph.places)}"
    return graphs


def load(name_or_file):
    """The graph of that name, else of the file at that path."""
    graphs = {graph.name: graph for graph in known()}
    if name_or_file in graphs:
        return graphs[name_or_file]
    if not os.path.isfile(name_or_file):
        names = ", ".join(f"{graph.name} ({len(graph.places)})" for graph in graphs.values())
        raise LabError(f'there is no file and no topology "{name_or_file}"; known, with their nodes: {names}', 64)
    content = read_json(name_or_file)
    if isinstance(content, dict) and "topologies" in content:
        if not isinstance(content["topologies"], list) or len(content["topologies"]) != 1:
            raise LabError(f"{name_or_file} holds several topologies: put the one that is meant into a file", 64)
        content = content["topologies"][0]
    try:
        return read_graph(content)
    except LabError as error:
        raise LabError(f"{name_or_file}: {error}", 64) from None


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}", 64) from None


def read_graph(entry):
    """Checks one {"name", "nodes": [{"name"}], "links": [{"a", "b"}]}; what else is in it does not matter."""
    try:
        name = str(entry["name"])
        places = [str(node["name"]) for node in entry["nodes"]]
        pairs = [(str(link["a"]), str(link["b"]), link.get("km")) for link in entry["links"]]
    except (TypeError, KeyError, AttributeError) as error:
        raise LabError(f'not {{"name", "nodes": [{{"name"}}], "links": [{{"a", "b"}}]}}: {error!r}') from None
    number = {place: i for i, place in enumerate(places, 1)}
    if len(number) != len(places) or not places:
        raise LabError("nodes need names, each its own")
    links = {}
    for a, b, km in pairs:
        for end in (a, b):
            if end not in number:
                raise LabError(f"link {a} - {b}: there is no node {end}")
        low, high = sorted((number[a], number[b]))
        if low == high or (low, high) in links:
            raise LabError(f"link {a} - {b} is a loop or there twice")
        links[low, high] = km
    graph = Graph(name, places, [(a, b, km) for (a, b), km in sorted(links.items())])
    check_connected(graph)
    return graph


def check_connected(graph):
    reached = reachable(graph.links, 1)
    cut_off = [place for i, place in enumerate(graph.places, 1) if i not in reached]
    if cut_off:
        more = f" and {len(cut_off) - NAMES_SHOWN} more" if len(cut_off) > NAMES_SHOWN else ""
        raise LabError(f"not connected: {graph.places[0]} does not reach {', '.join(cut_off[:NAMES_SHOWN])}{more}")


def reachable(links, start):
    """The nodes to which a path leads, with `start`."""
    reached, edge = {start}, [start]
    while edge:
        here = edge.pop()
        for a, b, *_ in links:
            other = b if a == here else a if b == here else None
            if other is not None and other not in reached:
                reached.add(other)
                edge.append(other)
    return reached


def check_fits(graph, free_mb):
    """Refuses, before anything is made, a graph that addresses, `groups` or this machine's memory cannot hold."""
    sites = len(graph.places)
    if sites > SITES_MAX:
        raise LabError(f"{graph.name or 'the mesh'} has {sites} nodes; the lab's addresses are for {SITES_MAX}", 64)
    needed = sites * SITE_MB + len(graph.links) * LINK_MB
    if needed > free_mb:
        raise LabError(f"{graph.name or 'a full mesh'} of {sites} nodes and {len(graph.links)} links needs about "
                       f"{needed} MB of memory, and {free_mb} MB are free: take a smaller one (ops/lab topologies)")
    if graph.name is None:
        return  # one group for all
    for number, place in enumerate(graph.places, 1):
        if len(graph.groups(number)) > GROUPS_MAX:
            raise LabError(f"{place} has {len(graph.groups(number))} links; its groups can name {GROUPS_MAX}", 64)


def free_memory_mb():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    raise LabError("/proc/meminfo does not say what is available")
