// Claim: templates give what Jinja2 gave Towalink, and none reaches more than the variables and files of its node.
// Method: the real renderer with the real Jinja2, one small template for each point of the contract and each attack.
// Without python3-jinja2 the tests are skipped, and say so.
#include "broker/render/template_renderer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "broker/render/bird_files.h"
#include "broker/render/child.h"
#include "broker/render/embedded.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/template_variables.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using Files = std::map<std::string, std::string>;

Bytes bytes_of(std::string_view text) { return Bytes(text.begin(), text.end()); }

RenderTask task_of(const Files& sources, std::string variables = R"({"wg_links":{}})") {
  RenderTask task{"r1.a", std::move(variables), {}, false, {}};
  std::map<std::string, Bytes> contents;
  for (const auto& [name, text] : sources) {
    contents[name] = bytes_of(text);
    task.sources.push_back({name, sha256(contents[name]), text.size()});
  }
  task.read = [contents](const ConfigFile& source) -> Result<Bytes> { return contents.at(source.name); };
  return task;
}

class RendererTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.limits.cpu_ms = 2'000;
    options_.limits.memory_bytes = 256 * 1024 * 1024;
    renderer_ = std::make_unique<TemplateRenderer>(options_);
    auto works = renderer_->render(task_of({{"x.jinja", "1"}}));
    ASSERT_TRUE(works) << works.error().message << ": " << works.error().fix;
  }

  Files render(const Files& sources, const std::string& variables = R"({"wg_links":{}})") {
    auto rendering = renderer_->render(task_of(sources, variables));
    EXPECT_TRUE(rendering.has_value()) << (rendering ? "" : rendering.error().message);
    Files out;
    if (rendering)
      for (const RenderedFile& file : (*rendering)->files)
        out[file.name] = std::string(file.content.begin(), file.content.end());
    return out;
  }
  std::string text(const std::string& source, const std::string& variables = R"({"wg_links":{}})") {
    return render({{"t.jinja", source}}, variables)["t"];
  }
  std::string refusal(const Files& sources) {
    auto rendering = renderer_->render(task_of(sources));
    EXPECT_FALSE(rendering.has_value());
    return rendering ? "" : rendering.error().message;
  }
  std::string refusal(const std::string& source) { return refusal(Files{{"t.jinja", source}}); }

  TemplateRendererOptions options_;
  std::unique_ptr<TemplateRenderer> renderer_;
};

constexpr const char* kLinks =
    R"({"node_id":11,"bgp_peers":{"#12":{"as":65012},"#9":{"as":65009}},)"
    R"("wg_links":{"#12":{"wg_ifname":"link_12","port":5},"13":{"wg_ifname":"link_13","port":6}}})";

TEST_F(RendererTest, NamesOfWhatIsMade) {
  EXPECT_EQ(render({{"a.conf.jinja", "x{{ node_id }}"}, {"b.conf", "{{ node_id }}\n"}, {"startup_x.jinja", "y"}},
                   kLinks),
            (Files{{"a.conf", "x11"}, {"b.conf", "{{ node_id }}\n"}, {"startup_x", "y"}}));
}

TEST_F(RendererTest, TunnelTemplateSeesOneLinkOnly) {
  EXPECT_EQ(render({{"tlwg.conf.jinja", "[{{ port }}|{{ node_id }}|{{ wg_links }}|{{ grains.id }}]"}}, kLinks),
            (Files{{"link_12.conf", "[5|||test]"}, {"link_13.conf", "[6|||test]"}}));
}

TEST_F(RendererTest, RenderedFileStaysOfTwoWithOneName) {
  EXPECT_EQ(render({{"a.conf", "static"}, {"a.conf.jinja", "rendered"}}), (Files{{"a.conf", "rendered"}}));
}

TEST_F(RendererTest, NewlinesBlanksAndUndefined) {
  EXPECT_EQ(text("a\n"), "a");
  EXPECT_EQ(text("a\n\n"), "a\n");
  EXPECT_EQ(text("  {% if true %}\nx\n  {% endif %}\n"), "  \nx\n  ");  // neither trim_blocks nor lstrip_blocks
  EXPECT_EQ(text("a {{- 1 -}} b"), "a1b");
  EXPECT_EQ(text("[{{ nothing }}]"), "[]");
  EXPECT_EQ(text("{{ '<&>' }}"), "<&>");
  EXPECT_EQ(text("{{ 'fe80::1/64'.partition('/')[0] }} {{ grains.id }} {{ grains['id'] }}"), "fe80::1 test test");
}

TEST_F(RendererTest, IntegerKeysSortAsNumbersAndPresetOnesAreTexts) {
  EXPECT_EQ(text("{% for id, peer in bgp_peers.items()|sort %}{{ id }}={{ peer.as }}{{ loop.index0 }} {% endfor %}",
                 kLinks),
            "9=650090 12=650121 ");
  EXPECT_EQ(text("{{ bgp_peers[12].as }}{{ bgp_peers['12'] }}{{ wg_links['13'].port }}{{ 13 in wg_links }}", kLinks),
            "650126False");
}

TEST_F(RendererTest, IncludesItsSiblingsAndNothingElse) {
  EXPECT_EQ(render({{"t.jinja", "{% set y = 2 %}{% include 'part.conf' %}"}, {"part.conf", "p{{ y }}\n"}}),
            (Files{{"part.conf", "p{{ y }}\n"}, {"t", "p2"}}));
  EXPECT_EQ(refusal("\n{% include '/etc/passwd' %}"), "t.jinja:2: the node has no file /etc/passwd");
  EXPECT_EQ(refusal("{% include '../t.jinja' %}"), "t.jinja:1: the node has no file ../t.jinja");
  EXPECT_EQ(refusal("{% import 'os' as os %}"), "t.jinja:1: the node has no file os");
  EXPECT_EQ(refusal("{% include '' %}"), "t.jinja:1: the node has no file ''");
}

// An error is where it is, also in a file that another one includes.
TEST_F(RendererTest, ErrorsNameFileAndLine) {
  EXPECT_EQ(refusal("a\n{% if %}"), "t.jinja:2: Expected an expression, got 'end of statement block'");
  EXPECT_EQ(refusal("a\n\n{{ nothing.more }}"), "t.jinja:3: 'nothing' is undefined");
  EXPECT_EQ(refusal({{"t.jinja", "{% include 'u.conf' %}"}, {"u.conf", "\n{{ 1/0 }}"}}), "u.conf:2: division by zero");
  EXPECT_EQ(refusal("{{ 'x'|nofilter }}"), "t.jinja:1: No filter named 'nofilter'.");
  EXPECT_EQ(refusal({{"bad.jinja", "\xff"}}), "bad.jinja: a template has to be UTF-8");
}

TEST_F(RendererTest, PythonCannotBeReached) {
  for (const char* attack :
       {"{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os }}",
        "{{ self.__init__ }}", "{{ (1).__class__ }}", "{{ ''['__class__'] }}", "{{ ''|attr('__class__') }}",
        "{{ range.__code__ }}", "{{ lipsum.__globals__ }}", "{{ '{0.__class__}'.format(1) }}"})
    EXPECT_TRUE(refusal(attack).starts_with("t.jinja:1: ")) << attack << ": " << refusal(attack);
  EXPECT_EQ(refusal("{{ grains.update(id=1) }}"), "t.jinja:1: grains cannot be changed");
  EXPECT_EQ(text("{{ grains.id }}"), "test");
}

// What a template does to what it imports is gone with its node: the next one starts anew.
TEST_F(RendererTest, NodesDoNotSeeEachOther) {
  const Files sources{{"t.jinja", "{% import 'm.conf' as m %}{{ m.count() }}{{ x }}"},
                      {"m.conf", "{% set l = [] %}{% macro count() %}{{ l.append(1) or l|length }}{% endmacro %}"}};
  EXPECT_EQ(render(sources, R"({"wg_links":{},"x":"a"})")["t"], "1a");
  EXPECT_EQ(render(sources, R"({"wg_links":{},"x":"b"})")["t"], "1b");
}

// Who gets out of Jinja2's sandbox is in a process that may compute and write to its socket, and nothing else.
TEST_F(RendererTest, TheProcessHasGivenUpTheMachine) {
  std::string code(embedded("render_worker.py"));
  const size_t start = code.rfind("\nmain()");
  ASSERT_NE(start, std::string::npos);
  code.replace(start, std::string::npos, R"(
import socket
confined = shut_in({"memory": 1 << 29})
said = []
for attempt, *arguments in ((os.open, "/etc/passwd", os.O_RDONLY), (os.listdir, "/"), (socket.socket,), (os.fork,),
                            (os.execv, "/bin/true", ["true"]), (os.kill, 1, 0), (os.setuid, 0), (os.pipe,),
                            (os.unlink, "/nonexistent"), (os.dup, 0), (os.symlink, "/etc", "/tmp/escaped")):
    try:
        attempt(*arguments)
        said.append(attempt.__name__)
    except PermissionError:
        pass
os.write(1, f"{confined} {said}".encode())
)");
  auto python = Child::start({"/usr/bin/python3", "-I", "-c", code}, true);
  ASSERT_TRUE(python) << python.error().message;
  std::string said;
  for (const int64_t deadline = monotonic_ms() + 30'000;;) {
    auto more = (*python)->read(deadline);
    ASSERT_TRUE(more) << more.error().message;
    if (more->empty()) break;
    said += *more;
  }
  EXPECT_EQ(said, "True []");
}

// After every one of them the next node is rendered as if nothing had been.
TEST_F(RendererTest, TimeAndSizeAreLimited) {
  const std::string loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
  EXPECT_EQ(refusal("\n" + loop), "t.jinja:2: it needs more than 2 s of processor time");
  EXPECT_EQ(text("{{ 1 }}"), "1");
  EXPECT_EQ(refusal("{{ range(10**9) }}"),
            "t.jinja:1: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
  EXPECT_EQ(refusal("{{ 9**9999999 }}"), "t.jinja:1: ** makes too large a number");
  EXPECT_EQ(refusal("\n{% for i in range(99999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}"),
            "t.jinja:2: it makes more than 1048576 bytes");
  EXPECT_EQ(refusal("{% for i in range(99999) %}\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4{% endfor %}"),
            "t.jinja:1: it makes more than 1048576 bytes");
  EXPECT_EQ(refusal("{% include 't.jinja' %}"), "t.jinja:1: it includes or calls itself without end");
  EXPECT_EQ(text("{{ 2 }}"), "2");
}

// With processor time enough to touch all of it on a busy machine.
TEST_F(RendererTest, MemoryIsLimited) {
  options_.limits.cpu_ms = 30'000;
  options_.limits.wall_ms = 60'000;
  renderer_ = std::make_unique<TemplateRenderer>(options_);
  for (const char* bomb : {"{{ 'a' * 10**9 }}", "{{ '%1000000000d'|format(1) }}", "{{ 'a'|center(10**9) }}",
                           "{% set n = namespace(l=[1]) %}"
                           "{% for i in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}"})
    EXPECT_EQ(refusal(bomb), "t.jinja:1: it needs more than 256 MiB of memory") << bomb;
  EXPECT_EQ(text("{{ 2 }}"), "2");
}

TEST_F(RendererTest, ProcessThatDoesNotAnswerIsEnded) {
  options_.limits.cpu_ms = 60'000;
  options_.limits.wall_ms = 300;
  renderer_ = std::make_unique<TemplateRenderer>(options_);
  const std::string loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
  // On a busy machine that may be before it says with which template it begins.
  EXPECT_TRUE(refusal({{"b.jinja", loop}}).ends_with(": it was ended after 0 s"));
  auto again = renderer_->render(task_of({{"a.jinja", "1"}}));
  EXPECT_TRUE(again.has_value() || again.error().code == Errc::exhausted);
}

TEST_F(RendererTest, RemembersWhatItRendered) {
  const uint64_t before = renderer_->rendered();
  text("{{ 3 }}");
  text("{{ 3 }}");
  EXPECT_EQ(renderer_->rendered(), before + 1);
  text("{{ 3 }}", R"({"wg_links":{},"x":1})");
  EXPECT_EQ(renderer_->rendered(), before + 2);
  EXPECT_EQ(refusal("{% if %}"), refusal("{% if %}"));
  EXPECT_EQ(renderer_->rendered(), before + 3);
}

TEST_F(RendererTest, SecretKeysAreRefused) {
  EXPECT_EQ(refusal({{"tlwg_12.conf", "[Interface]\nprivatekey = abc=\n"}}),
            "tlwg_12.conf:2: a secret key stands in the file");
  EXPECT_EQ(refusal({{"tlwg_12.conf", "PresharedKey=abc\n"}}), "tlwg_12.conf:1: a secret key stands in the file");
  const std::string good = "PrivateKey = MESHLOG-PRIVATE-KEY-12\nPublicKey = MESHLOG-PUBLIC-KEY-12\n"
                           "AllowedIPs = 10.0.0.0/8, 0.0.0.0/0\nAllowedIPs = 0::0/0\n";
  EXPECT_EQ(render({{"tlwg_12.conf", good}}).size(), 1u);
  EXPECT_EQ(refusal({{"tlwg_12.conf", good + "Table = 5\n"}}), "tlwg_12.conf:5: Table is not off");
  EXPECT_EQ(refusal({{"tlwg_12.conf", good.substr(0, good.find("AllowedIPs = 0::"))}}),
            "tlwg_12.conf: AllowedIPs leave traffic out");
  EXPECT_EQ(refusal({{"sums.jinja", "x"}}), "sums is a name of the version itself");
}

// Without templates nothing but reading is needed.
TEST(Renderer, StaticFilesNeedNoPython) {
  TemplateRendererOptions options;
  options.python = "/nonexistent/python3";
  TemplateRenderer renderer(options);
  EXPECT_TRUE(renderer.render(task_of({{"a.conf", "x"}})).has_value());
  auto refused = renderer.render(task_of({{"a.jinja", "x"}}));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_EQ(refused.error().fix, "install python3 and python3-jinja2 on the controller");
}

/// An executable file.
class Script {
 public:
  explicit Script(const std::string& text) : path_(std::filesystem::path(::testing::TempDir()) / name()) {
    std::ofstream(path_) << text;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
  }
  ~Script() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  static std::string name() { return "script-" + std::to_string(::getpid()); }
  std::filesystem::path path_;
};

/// A program in Python's place that answers with these frames, whatever it is sent.
std::string answering(const std::vector<std::string>& frames) {
  std::string out = "#!/bin/sh\n";
  for (const std::string& frame : frames) {
    const auto size = static_cast<unsigned>(frame.size());
    out += fmt::format("printf '\\000\\000\\{:03o}\\{:03o}%s' '{}'\n", size >> 8, size & 255, frame);
  }
  return out + "exec cat > /dev/null\n";
}

// Where the kernel cannot confine it a plan says so, and nonsense is an error.
TEST(Renderer, SaysHowTheProcessThatRendersIs) {
  const auto render = [](const std::vector<std::string>& frames) {
    const Script python(answering(frames));
    TemplateRendererOptions options;
    options.python = python.path();
    return TemplateRenderer(options).render(task_of({{"a.jinja", "x"}}));
  };
  const std::string done = R"({"files":{"a":"1"}})";
  auto good = render({R"({"ready":"3","confined":true})", done});
  ASSERT_TRUE(good.has_value()) << good.error().message;
  EXPECT_TRUE((*good)->warnings.empty());
  auto alone = render({R"({"ready":"3","confined":false})", done});
  ASSERT_TRUE(alone.has_value()) << alone.error().message;
  ASSERT_EQ((*alone)->warnings.size(), 1u);
  EXPECT_TRUE((*alone)->warnings[0].starts_with("system calls of templates cannot be forbidden"));
  for (const char* frame : {"[]", "{", R"({"missing":5})", R"({"ready":"3"})"}) {
    auto refused = render({frame});
    ASSERT_FALSE(refused.has_value()) << frame;
    EXPECT_EQ(refused.error().code, Errc::unavailable) << frame;
    EXPECT_TRUE(refused.error().message.ends_with("sent nonsense")) << refused.error().message;
  }
}

// That it was killed says nothing about the template, and is not remembered as its fault.
TEST(BirdFiles, AnEndBySignalIsNoErrorOfTheFile) {
  const Script bird("#!/bin/sh\nkill -9 $$\n");
  auto checked = check_bird_files(bird.path(), {{"bird.conf", bytes_of("router id 1.2.3.4;\n")}});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::exhausted);
  EXPECT_EQ(checked.error().message, "bird.conf: BIRD ended by signal 9");
}

std::string confined(std::string_view text) {
  Bytes content = bytes_of(text);
  std::vector<std::string> warnings;
  auto done = confine_bird_file("bird.conf", content, warnings);
  if (!done) return done.error().message;
  return std::string(content.begin(), content.end()) + (warnings.empty() ? "" : "|" + warnings.front());
}

TEST(BirdFiles, StayInTheirDirectory) {
  EXPECT_EQ(confined("include \"bird_n.conf\";\n# include \"/x\"\n"), "include \"bird_n.conf\";\n# include \"/x\"\n");
  EXPECT_EQ(confined("/* a\n*/ include \"/etc/x\";"), "bird.conf:2: include \"/etc/x\" is no file of the node");
  EXPECT_EQ(confined("include \"/etc/bird/bird_n.conf\";"), "include \"/etc/bird/bird_n.conf\";");
  EXPECT_EQ(confined("include \"../x\";"), "bird.conf:1: include \"../x\" is no file of the node");
  EXPECT_EQ(confined("\neval 1+1;"), "bird.conf:2: eval is not for managed files");
  EXPECT_EQ(confined("protocol mrt { filename \"/tmp/x\"; }"), "bird.conf:1: filename is not for managed files");
  EXPECT_EQ(confined("log \"/var/log/bird.log\" all;\nlog stderr all;\n"),
            "/* log \"/var/log/bird.log\" all; */\nlog stderr all;\n"
            "|bird.conf:1: log \"/var/log/bird.log\" was left out: BIRD logs to its standard error");
}

// A constant can name a file as well as a text can: the statement counts, not how the file is written.
TEST(BirdFiles, DoNotNameFilesByConstants) {
  const std::string constant = "define F = \"/tmp/x\";\n";
  EXPECT_EQ(confined(constant + "log F all;"), "bird.conf:2: log goes neither to stderr nor to syslog");
  EXPECT_EQ(confined(constant + "mrtdump F;"), "bird.conf:2: mrtdump is not for managed files");
  EXPECT_EQ(confined(constant + "protocol mrt { filename F; }"), "bird.conf:2: filename is not for managed files");
  for (const char* good : {"log stderr all;", "log syslog name \"x\" all;", "mrtdump protocols all;"})
    EXPECT_EQ(confined(good), good);
}

// What this reads as a comment BIRD has to read as one: else a line in it would act.
TEST(BirdFiles, CommentsAreTheSameForBird) {
  EXPECT_EQ(confined("include \"a.conf\"; /* \";\ninclude \"/etc/shadow\";\n*/\n"),
            "bird.conf:1: more than an include stands on its line");
  EXPECT_EQ(confined("include \"a.conf\"; /* a */\n"), "include \"a.conf\"; /* a */\n");
  EXPECT_EQ(confined("log \"*/ mrtdump F; /*\" all;"), "bird.conf:1: log has a comment in it");
  EXPECT_EQ(confined("x;\n# end"), "x;\n# end\n") << "or the comment goes on where the file is included";
  EXPECT_EQ(confined("# end\nx;"), "# end\nx;");
}

// The same with BIRD itself: without the end of that line it reads the file that the comment names.
TEST(BirdFiles, ACommentEndsWithItsFile) {
  const auto bird = find_program("bird");
  if (bird.empty()) GTEST_SKIP() << "BIRD is not installed: apt install bird2";
  std::map<std::string, Bytes> files{
      {"bird.conf", bytes_of("include \"bird_a.conf\"; /*\ninclude \"/nonexistent\";\n*/\n"
                             "router id 1.2.3.4;\nprotocol device {}\n")},
      {"bird_a.conf", bytes_of("# no end")}};
  EXPECT_FALSE(check_bird_files(bird, files));
  std::vector<std::string> warnings;
  for (auto& [name, content] : files) ASSERT_TRUE(confine_bird_file(name, content, warnings)) << name;
  auto checked = check_bird_files(bird, files);
  EXPECT_TRUE(checked) << checked.error().message;
}

/// What the built-in templates make of a node, checked by BIRD.
class DefaultTemplates : public RendererTest {
 protected:
  void SetUp() override {
    options_.bird = find_program("bird");
    if (options_.bird.empty()) GTEST_SKIP() << "BIRD is not installed: apt install bird2";
    RendererTest::SetUp();
  }

  Result<std::shared_ptr<const Rendering>> render_node(const MeshState& state, NodeId node) {
    auto config = compile(state, node);
    if (!config) return std::unexpected(config.error());
    auto variables = template_variables(state, *config);
    if (!variables) return std::unexpected(variables.error());
    RenderTask task = task_of({}, variables_json(*variables));
    task.defaults = true;
    return renderer_->render(task);
  }
};

TEST_F(DefaultTemplates, BirdTakesThemForEveryNodeOfATree) {
  MeshState state = testing::towalink_state();
  state.rules = 4;
  testing::set(state.global, {{"routing_style", "loopback"}});
  testing::add_site(state, "a", {{"lans", "[\"10.1.0.0/24\", \"fd00:1::/64\"]"}, {"wg_mtu", "1400"}});
  testing::add_site(state, "b-x", {{"lans", "10.2.0.0/24"}});
  testing::add_node(state, 11, "r1.a", {{"node_hostname", "a.example.net"}, {"wg_links.13.wg_peer_keepalive", "7"}});
  testing::add_node(state, 12, "r2.a", {{"node_hostname", "192.0.2.12"}});
  testing::add_node(state, 13, std::string(60, 'n') + ".b-x");
  testing::add_node(state, 14, "r1.c", {{"groups", "[\"alone\"]"}});
  for (uint32_t node : {11, 12, 13, 14}) {
    auto rendering = render_node(state, NodeId(node));
    ASSERT_TRUE(rendering.has_value()) << node << ": " << rendering.error().message;
    EXPECT_TRUE((*rendering)->warnings.empty());
    EXPECT_EQ((*rendering)->files.size(), node == 14 ? 3u : 5u);
  }
  auto rendering = render_node(state, NodeId(13));
  std::string tunnel;
  for (const RenderedFile& file : (*rendering)->files)
    if (file.name == "tlwg_11.conf") tunnel.assign(file.content.begin(), file.content.end());
  EXPECT_EQ(tunnel, R"(# tlwg_11
[Interface]
ListenPort = 51831
PrivateKey = MESHLOG-PRIVATE-KEY-11
Address = fe80::d/64
PostUp = ip addr add 192.88.99.13/32 peer 192.88.99.11/32 dev tlwg_11
MTU = 1400
Table = off

[Peer]
PublicKey = MESHLOG-PUBLIC-KEY-11
PresharedKey = MESHLOG-PSK-11
AllowedIPs = 192.88.99.11/32, fe80::b/128, 0.0.0.0/0, 0::0/0
Endpoint = a.example.net:51833
PersistentKeepalive = 25
)");
}

TEST_F(DefaultTemplates, BirdSaysWhereAFileIsWrong) {
  EXPECT_EQ(refusal({{"bird.conf", "router id 1.2.3.4;\ninclude \"/etc/bird/bird_x.conf\";\n"},
                     {"bird_x.conf.jinja", "\n{{ 'prot' }}ocol foo;"}}),
            "bird_x.conf:2:10: syntax error, unexpected CF_SYM_UNDEFINED");
  // A file of that name stands in for a built-in template.
  RenderTask task = task_of({{"bird.conf", "router id 1.2.3.4;\nprotocol device {}\n"}},
                            R"({"wg_links":{},"bgp_peers":{},"site_name":"a"})");
  task.defaults = true;
  auto rendering = renderer_->render(task);
  ASSERT_TRUE(rendering.has_value()) << rendering.error().message;
  EXPECT_EQ((*rendering)->files.front().content, bytes_of("router id 1.2.3.4;\nprotocol device {}\n"));
}

}  // namespace
}  // namespace mesh
