// Claim: compiling candidates on all cores gives what one core gives, names the first node that fails, and renders the
// same task once; BIRD is asked once about the same files. Method: a renderer that writes its task into a file, in a
// mesh of forty nodes; BIRD is a script that counts.
#include "broker/node_files.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "broker/render/bird_files.h"
#include "broker/render/template_renderer.h"
#include "eventstore/log/memory_event_log.h"
#include "eventstore/model/crypto.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;

constexpr uint32_t kFirst = 11, kNodes = 40;

MeshState mesh_of_forty() {
  MeshState state = towalink_state();
  state.rules = 4;
  set(state.global, {{"routing_style", "loopback"}});
  for (uint32_t id = kFirst; id < kFirst + kNodes; ++id)
    add_node(state, id, "r" + std::to_string(id) + "x.a", {{"node_hostname", "h" + std::to_string(id)}});
  return state;
}

class Echo : public Renderer {
 public:
  explicit Echo(std::vector<std::string> bad = {}) : bad_(std::move(bad)) {}
  Result<std::shared_ptr<const Rendering>> render(const RenderTask& task) override {
    if (std::ranges::find(bad_, task.node) != bad_.end()) return fail(Errc::invalid, "x.conf:1: bad");
    auto out = std::make_shared<Rendering>();
    out->files.push_back({"x.conf", Bytes(task.variables.begin(), task.variables.end())});
    out->warnings.push_back("x.conf:1: old");
    return out;
  }

 private:
  const std::vector<std::string> bad_;
};

TEST(NodeFiles, AllCoresGiveWhatOneGives) {
  const MeshState state = mesh_of_forty();
  const MemoryEventLog log{LogId()};
  Echo renderer;
  NodeFiles files(&renderer, state, log);
  auto together = files.candidates(Scope{}, false);
  ASSERT_TRUE(together.has_value()) << together.error().message;
  Candidates alone;
  for (uint32_t id = kFirst; id < kFirst + kNodes; ++id) {
    auto one = NodeFiles(&renderer, state, log).candidates(Scope{Level::node, {}, NodeId(id)}, false);
    ASSERT_TRUE(one.has_value()) << one.error().message;
    std::ranges::copy(one->rows, std::back_inserter(alone.rows));
    alone.configs.merge(one->configs);
    alone.contents.merge(one->contents);
  }
  EXPECT_EQ(together->rows, alone.rows);
  EXPECT_EQ(together->configs, alone.configs);
  EXPECT_EQ(together->contents, alone.contents);
  EXPECT_EQ(together->contents.size(), kNodes);
  EXPECT_EQ(files.warnings(), std::vector<std::string>{"x.conf:1: old (r11x.a and 39 more)"});
}

TEST(NodeFiles, FirstNodeThatFailsIsNamed) {
  const MeshState state = mesh_of_forty();
  const MemoryEventLog log{LogId()};
  Echo renderer({"r50x.a", "r13x.a", "r12x.a", "r30x.a"});
  for (int i = 0; i < 20; ++i) {
    auto none = NodeFiles(&renderer, state, log).candidates(Scope{}, false);
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().message, "node r12x.a: x.conf:1: bad");
  }
}

TEST(TemplateRenderer, SameTaskAtOnceIsDoneOnce) {
  TemplateRenderer renderer({});
  const std::string text = "log stderr all;\n";
  RenderTask task{"r1.a", "{}", {{"x.conf", sha256(as_bytes(text)), text.size()}}, false,
                  [&](const ConfigFile&) -> Result<Bytes> { return Bytes(text.begin(), text.end()); }};
  std::vector<std::shared_ptr<const Rendering>> made(8);
  {
    std::vector<std::jthread> askers;
    for (auto& each : made)
      askers.emplace_back([&] {
        auto rendering = renderer.render(task);
        if (rendering) each = *rendering;
      });
  }
  for (const auto& each : made) {
    ASSERT_NE(each, nullptr);
    EXPECT_EQ(each, made.front());
  }
  EXPECT_EQ(renderer.rendered(), 1u);
}

class CountingBird : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "meshlog-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    // An empty file each time: more nobody who checks may write.
    std::ofstream(program()) << "#!/bin/sh\n: > " << directory_.string() << "/asked.$$\n"
                             << "case \"$(/bin/cat bird.conf)\" in *bad*) exit 1;; esac\n";
    std::filesystem::permissions(program(), std::filesystem::perms::owner_all);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path program() const { return directory_ / "bird"; }
  size_t asked() const {
    return static_cast<size_t>(std::ranges::count_if(
        std::filesystem::directory_iterator(directory_),
        [](const auto& entry) { return entry.path().filename().string().starts_with("asked."); }));
  }
  std::filesystem::path directory_;
};

TEST_F(CountingBird, IsAskedOnceAboutWhatItTookAndAlwaysAboutWhatItRefused) {
  BirdCheck check(program());
  auto take = [&](std::string_view main, std::string_view sibling, std::string_view tunnel) {
    return check
        .check({{"bird.conf", Bytes(main.begin(), main.end())},
                {"bird_n.conf", Bytes(sibling.begin(), sibling.end())},
                {"tlwg_12.conf", Bytes(tunnel.begin(), tunnel.end())}})
        .has_value();
  };
  EXPECT_TRUE(take("a", "b", "t"));
  EXPECT_TRUE(take("a", "b", "t"));
  EXPECT_TRUE(take("a", "b", "another tunnel"));
  EXPECT_EQ(asked(), 1u);
  EXPECT_TRUE(take("a", "c", "t"));
  EXPECT_TRUE(take("ab", "", "t"));
  EXPECT_EQ(asked(), 3u);
  EXPECT_FALSE(take("bad", "b", "t"));
  EXPECT_FALSE(take("bad", "b", "t"));
  EXPECT_EQ(asked(), 5u);
}

}  // namespace
}  // namespace mesh
