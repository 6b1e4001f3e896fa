#!/usr/bin/python3
"""Claim: tidy.py finds each kind of violation, and only those.
Method: a small clean tree in a temporary directory; each test plants one fault and names what must be said."""

import pathlib
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tidy  # noqa: E402

CLEAN = {
    "CMakeLists.txt": "project(x)\n",
    "LICENSE": "text\n",
    "eventstore/model/README.md": "x\n",
    "eventstore/model/ids.h": '#pragma once\n#include <vector>\n#include "eventstore/model/limits.h"\n',
    "eventstore/model/limits.h": "#pragma once\n",
    "eventstore/model/hash.cc": "#include <fmt/format.h>\n#include <sodium.h>\n#include <string>\n",
    "eventstore/log/README.md": "x\n",
    "eventstore/log/log.cc": '#include <rocksdb/db.h>\n#include "schemas/codec.h"\n',
    "schemas/README.md": "x\n",
    "schemas/codec.h": '#include "eventstore/model/ids.h"\n',
    "schemas/codec.cc": '#include "entry_generated.h"\n#include <flatbuffers/flatbuffers.h>\n',
    "schemas/entry.fbs": "table Entry { sequence:ulong; }\n",
    "broker/README.md": "x\n",
    "broker/meshd.cc": '#include <spdlog/spdlog.h>\n#include "broker/bus/server.h"\n#include "eventstore/log/log.h"\n',
    "broker/bus/README.md": "x\n",
    "broker/bus/server.h": '#include "eventstore/model/ids.h"\n',
    "broker/bus/server.cc": "#include <zmq.hpp>\n#include <thread>\n",
    "nodes/README.md": "x\n",
    "nodes/agent.cc": '#include "broker/bus/client.h"\n#include "schemas/codec.h"\n#include "nodes/agent.h"\n',
    "nodes/dataplane/README.md": "x\n",
    "nodes/dataplane/linux.cc": '#include "eventstore/model/ids.h"\n#include <linux/if.h>\n',
    "cli/README.md": "x\n",
    "cli/meshcli.cc": "#include <CLI/CLI.hpp>\n",
    "ops/README.md": "x\n",
    "ops/test": "#!/bin/bash\necho ok\n",
    "tests/README.md": "| `unit/` | mirrors the tree |\n| `golden/` | bytes |\n",
    "tests/unit/any.cc": "#include <zmq.hpp>\n#include <rocksdb/db.h>\n#include <thread>\n",
}


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        for path, text in CLEAN.items():
            self.plant(path, text)

    def plant(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def found(self):
        return tidy.violations(tidy.Tree(self.root), FLATC)

    def expect(self, *fragments):
        found = self.found()
        self.assertEqual(len(found), 1, found)
        for fragment in fragments:
            self.assertIn(fragment, found[0])

    def test_a_clean_tree_has_none(self):
        self.assertEqual(self.found(), [])

    def test_the_model_includes_no_other_layer(self):
        self.plant("eventstore/model/bad.cc", '\n#include "schemas/codec.h"\n')
        self.expect("eventstore/model/bad.cc:2", "may not include schemas/")

    def test_the_model_includes_nothing_impure(self):
        for header in ["thread", "mutex", "fstream", "filesystem", "random", "chrono"]:
            self.plant("eventstore/model/bad.cc", f"#include <{header}>\n")
            self.expect(f"<{header}> is not pure")

    def test_a_node_asks_no_wall_clock(self):
        for call in ["std::chrono::system_clock::now()", "std::time(nullptr)", "::time(&now)", "x - time(NULL)",
                     "clock_gettime(CLOCK_REALTIME, &now)", "gettimeofday(&now, nullptr)"]:
            self.plant("nodes/dataplane/bad.cc", f"\n\nint64_t age() {{ return {call}; }}\n")
            self.expect("nodes/dataplane/bad.cc:3", "no wall clock")
        self.plant("nodes/dataplane/bad.cc", "auto a = boot_seconds(), b = entry.time(0), c = idle_time(0);\n")
        self.assertEqual(self.found(), [])

    def test_the_model_includes_no_other_library(self):
        for header in ["boost/any.hpp", "zlib.h", "nlohmann/json.hpp", "spdlog/spdlog.h"]:
            self.plant("eventstore/model/bad.cc", f"#include <{header}>\n")
            self.expect(f"<{header}>", "only the standard library")

    def test_the_model_draws_no_randomness_and_reads_no_clock(self):
        self.plant("eventstore/model/bad.cc", "void f() { randombytes_buf(p, 4); }\n")
        self.expect("bad.cc:1", "randombytes_buf is not pure")

    def test_rocksdb_only_in_the_log(self):
        self.plant("broker/bad.cc", "#include <rocksdb/db.h>\n")
        self.expect("belongs to eventstore/log/")

    def test_rocksdb_not_in_a_header(self):
        self.plant("eventstore/log/bad.h", "#include <rocksdb/db.h>\n")
        self.expect("in a header")

    def test_an_internal_header_is_for_its_own_folder(self):
        self.plant("schemas/x_internal.h", "#include <flatbuffers/flatbuffers.h>\n")
        self.assertEqual(self.found(), [])
        self.plant("broker/bad.cc", '#include "schemas/x_internal.h"\n')
        self.expect("broker/bad.cc", "is for schemas/ alone")

    def test_zmq_only_in_the_bus(self):
        for path in ["nodes/bad.cc", "cli/bad.cc", "broker/bad.cc", "eventstore/log/bad.cc"]:
            self.plant(path, "#include <zmq.hpp>\n")
            self.expect(path, "belongs to broker/bus/")
            (self.root / path).unlink()

    def test_flatbuffers_and_generated_headers_only_in_schemas(self):
        for include in ["<flatbuffers/flatbuffers.h>", '"entry_generated.h"']:
            self.plant("broker/bus/bad.cc", f"#include {include}\n")
            self.expect("belongs to schemas/")

    def test_nodes_and_cli_do_not_see_the_log(self):
        for path in ["nodes/bad.cc", "cli/bad.cc"]:
            self.plant(path, '#include "eventstore/log/log.h"\n')
            self.expect(path, "may not include eventstore/log/")
            (self.root / path).unlink()

    def test_siblings_do_not_see_each_other(self):
        for path, target in [("nodes/bad.cc", "cli/x.h"), ("cli/bad.cc", "broker/x.h"), ("broker/bad.cc", "nodes/x.h"),
                             ("eventstore/log/bad.cc", "broker/bus/x.h"), ("broker/bus/bad.cc", "broker/x.h")]:
            self.plant(path, f'#include "{target}"\n')
            self.expect(path, "may not include")
            (self.root / path).unlink()

    def test_includes_are_paths_from_the_root(self):
        self.plant("nodes/bad.cc", '#include "agent.h"\n')
        self.expect("not a path from the root")

    def test_heavy_headers_stay_out_of_headers(self):
        self.plant("cli/bad.h", "#include <nlohmann/json.hpp>\n")
        self.expect("too heavy")

    def test_a_header_for_cc_files_only_may_be_heavy_and_stays_out_of_headers(self):
        self.plant("schemas/json_reader.h", "// For .cc files only: heavy.\n#include <nlohmann/json.hpp>\n")
        self.plant("nodes/fine.cc", '#include "schemas/json_reader.h"\n')
        self.assertEqual(self.found(), [])
        self.plant("nodes/bad.h", '#include "schemas/json_reader.h"\n')
        self.expect("nodes/bad.h", "for .cc files only")

    def test_banned_words_everywhere(self):
        for path in ["nodes/bad.cc", "ops/bad", "nodes/README.md", "CMakeLists.txt"]:
            before = (self.root / path).read_text() if (self.root / path).exists() else None
            self.plant(path, "x\n// TO" + "DO later\n")
            self.expect(f"{path}:2", "finish it")
            self.plant(path, before) if before is not None else (self.root / path).unlink()

    def test_words_within_words_are_fine(self):
        self.plant("ops/fine", "mktemp /tmp/x.XXXXXX\n")
        self.assertEqual(self.found(), [])

    def test_long_lines_and_files(self):
        self.plant("nodes/bad.cc", "x" * 121 + "\n")
        self.expect("bad.cc:1", "121 columns")
        self.plant("nodes/bad.cc", "x\n" * 601)
        self.expect("more than 600 lines")
        self.plant("nodes/bad.cc", "x" * 120 + "\n" + "x\n" * 599)
        self.assertEqual(self.found(), [])

    def test_scripts_are_measured_too(self):
        self.plant("ops/bad", "#!/bin/bash\n" + "x" * 121 + "\n")
        self.expect("ops/bad:2", "121 columns")

    def test_long_functions(self):
        self.plant("nodes/bad.cc", "namespace x {\nvoid f() {\n" + "  g();\n" * 69 + "}\n}\n")
        self.expect("bad.cc:2", "a function of 71 lines")

    def test_the_top_level_is_fixed(self):
        self.plant("stuff/x.txt", "x\n")
        self.expect("stuff: the top level is fixed")

    def test_every_folder_has_a_readme(self):
        for folder in ["ops", "nodes/dataplane"]:
            (self.root / folder / "README.md").unlink()
            self.expect(f"{folder}: has no README.md")
            self.plant(f"{folder}/README.md", "x\n")

    def test_every_kind_of_test_is_explained(self):
        self.plant("tests/magic/x.cc", "\n")
        self.expect("tests/magic", "tests/README.md")

    def test_what_was_built_is_not_looked_at(self):
        self.plant("build/release/bad.h", "// TO" + "DO\n")
        self.assertEqual(self.found(), [])

    def test_schemas_only_grow(self):
        self.plant("tests/golden/schemas/entry.fbs", "table Entry { sequence:ulong; }\n")
        self.plant("schemas/entry.fbs", "table Entry { sequence:ulong; time:ulong; }\n")
        self.assertEqual(self.found(), [])
        self.plant("schemas/entry.fbs", "table Entry { sequence:string; }\n")
        self.expect("schemas/entry.fbs", "does not conform")
        (self.root / "schemas/entry.fbs").unlink()
        self.expect("is gone")


if __name__ == "__main__":
    FLATC = sys.argv.pop(1) if len(sys.argv) > 1 else "flatc"
    unittest.main()
