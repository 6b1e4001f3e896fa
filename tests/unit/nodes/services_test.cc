// Claim: beside the router a node does what a version asks only as allow.toml permits, with the line that is missing;
// it reloads only what changed, gives back what was there when something fails, removes only what it placed, and a
// crash at any step ends with the files of one version. Method: Services on a simulated disk whose commands are a
// table; every step of a change is a death once, by kill and by power loss.
#include "nodes/services/services.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "nodes/memory_files.h"
#include "nodes/services/command_runner.h"

namespace mesh {
namespace {

using Strings = std::vector<std::string>;

struct ServicesTest : ::testing::Test {
  ServicesTest() { build(disk); }
  static void build(MemoryFiles& machine) {
    for (const char* directory : {"etc", "etc/dnsmasq.d", "etc/nft", "etc/ssh", "var"})
      ASSERT_TRUE(machine.make_dir(directory));
    for (const char* directory : {".", "etc"}) ASSERT_TRUE(machine.sync_dir(directory));
  }
  /// A program that starts.
  std::unique_ptr<Services> open(MemoryFiles& machine, const std::string& boot = "boot") {
    ServicesOptions options;
    options.data = "/var/data";
    options.allow_file = "/etc/meshnode/allow.toml";
    options.allow = [this]() -> Result<std::string> {
      if (allow.empty()) return fail(Errc::not_found, "none");
      return allow;
    };
    options.authorized_keys = "/etc/ssh/keys_of_root";
    options.boot_id = boot;
    options.run = [this, &machine](const Strings& words, std::chrono::milliseconds) -> Result<CommandResult> {
      if (machine.dead()) return fail(Errc::io, "the program is dead");
      std::string text;
      for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
      ran.push_back(text);
      if (look) look(text);
      const auto found = results.find(text);
      return found == results.end() ? CommandResult{} : found->second;
    };
    return std::make_unique<Services>(std::move(options), machine);
  }
  static WantedService dns(const std::string& content, const std::string& more = "") {
    WantedService out{"dns", "/etc/dnsmasq.d", "test {}/dns.conf", "reload dns", {{"dns.conf", content}}};
    if (!more.empty()) out.files["more.conf"] = more;
    return out;
  }
  static WantedService firewall(const std::string& content) {
    return {"nft", "/etc/nft", "", "reload nft", {{"mesh.nft", content}}};
  }
  std::string text_of(MemoryFiles& from, const std::string& path) {
    auto bytes = from.read(path);
    return bytes ? std::string(as_text(*bytes)) : "(none)";
  }
  std::string text_of(const std::string& path) { return text_of(disk, path); }

  MemoryFiles disk;
  std::string allow =
      "destinations = [\"/etc/dnsmasq.d\", \"/etc/nft/\"]\n"
      "commands = [\"test {}/dns.conf\", \"reload dns\", \"reload nft\", \"up %i\", \"down %i\"]\n"
      "startup_scripts = true\nssh_keys = true\n";
  Strings ran;
  std::map<std::string, CommandResult> results;
  std::function<void(const std::string&)> look;
};

TEST_F(ServicesTest, WhatIsNotPermittedIsNamedWithTheLine) {
  allow.clear();
  auto it = open(disk);
  WantedServices wanted;
  EXPECT_TRUE(it->check(wanted));
  wanted.services = {dns("a")};
  wanted.scripts["startup_a"] = "";
  wanted.ssh_keys = {"ssh-ed25519 A"};
  const auto none = it->check(wanted);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::not_permitted);
  EXPECT_EQ(none.error().message, "/etc/meshnode/allow.toml on this router does not permit it");
  EXPECT_EQ(none.error().fix,
            "put into /etc/meshnode/allow.toml: destinations = [\"/etc/dnsmasq.d\"] and "
            "commands = [\"test {}/dns.conf\", \"reload dns\"] and startup_scripts = true and ssh_keys = true");
  allow = "destinations = [\"/etc/dnsmasq.d\"]\ncommands = [\"reload dns\"]\nssh_keys = true\n";
  wanted.scripts.clear();
  EXPECT_EQ(it->check(wanted).error().fix,
            "put into /etc/meshnode/allow.toml: commands = [\"reload dns\", \"test {}/dns.conf\"]");
  EXPECT_FALSE(it->apply(wanted, nullptr));
  EXPECT_TRUE(ran.empty());
  EXPECT_EQ(disk.list("etc/dnsmasq.d")->size(), 0u);
  allow = "destination = 1\n";
  const auto message = it->check(wanted).error().message;
  EXPECT_TRUE(message.starts_with("/etc/meshnode/allow.toml: line 1: \"destination\" is not")) << message;
}

TEST_F(ServicesTest, OnlyWhatChangedIsReloaded) {
  auto it = open(disk);
  const WantedServices one{{}, {dns("a"), firewall("x")}, {}, {}}, two{{}, {dns("b", "c"), firewall("x")}, {}, {}},
      three{{}, {dns("b"), firewall("x")}, {}, {}}, four{{}, {firewall("x")}, {}, {}};
  std::string staged;
  look = [&](const std::string& text) {
    if (text.starts_with("test ")) staged = text_of(text.substr(6));
  };
  ASSERT_TRUE(it->check(one));
  EXPECT_EQ(ran, Strings{"test /var/data/services/stage/dns/dns.conf"});
  EXPECT_EQ(staged, "a");
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "(none)") << "nothing is touched by a check";
  ran.clear();
  ASSERT_TRUE(it->apply(one, nullptr));
  EXPECT_EQ(ran, (Strings{"reload dns", "reload nft"}));
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "a");
  ran.clear();
  ASSERT_TRUE(it->check(two));
  ASSERT_TRUE(it->apply(two, &one));
  EXPECT_EQ(ran, (Strings{"test /var/data/services/stage/dns/dns.conf", "reload dns"}));
  EXPECT_EQ(text_of("etc/dnsmasq.d/more.conf"), "c");
  ran.clear();
  ASSERT_TRUE(open(disk)->apply(two, nullptr)) << "another start of the program";
  EXPECT_TRUE(ran.empty());
  ASSERT_TRUE(it->apply(three, &two));
  EXPECT_EQ(text_of("etc/dnsmasq.d/more.conf"), "(none)");
  ran.clear();
  ASSERT_TRUE(it->apply(four, &three));
  EXPECT_EQ(ran, Strings{"reload dns"}) << "that its files are gone it has to hear";
  EXPECT_EQ(disk.list("etc/dnsmasq.d")->size(), 0u);
  ASSERT_TRUE(it->remove_all());
  EXPECT_EQ(disk.list("etc/nft")->size(), 0u);
  EXPECT_FALSE(disk.list("var/data/services"));
}

TEST_F(ServicesTest, AFileThatChangesItsServiceStays) {
  auto it = open(disk);
  auto renamed = dns("a");
  renamed.name = "names";
  const WantedServices one{{}, {dns("a")}, {}, {}}, two{{}, {renamed}, {}, {}};
  ASSERT_TRUE(it->apply(one, nullptr));
  ASSERT_TRUE(it->apply(two, &one));
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "a") << "the old name takes nothing away";
  EXPECT_TRUE(it->look(two).empty());
  ASSERT_TRUE(it->apply(one, &two));
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "a");
  // Another pattern moves it between two that stay.
  WantedService early{"a", "/etc/nft", "", "", {{"x", "1"}}}, late{"b", "/etc/nft", "", "", {{"y", "2"}, {"z", "3"}}};
  const WantedServices before{{}, {early, late}, {}, {}};
  ASSERT_TRUE(it->apply(before, &one));
  early.files["z"] = "3";
  late.files.erase("z");
  ASSERT_TRUE(it->apply({{}, {early, late}, {}, {}}, &before));
  EXPECT_EQ(text_of("etc/nft/z"), "3");
  ASSERT_TRUE(it->apply(before, nullptr));
  EXPECT_EQ(text_of("etc/nft/z"), "3");
  ASSERT_TRUE(it->remove_all());
  EXPECT_EQ(disk.list("etc/nft")->size(), 0u);
  EXPECT_EQ(disk.list("etc/dnsmasq.d")->size(), 0u);
}

TEST_F(ServicesTest, AFailureGivesTheFormerFilesBack) {
  auto it = open(disk);
  const WantedServices one{{}, {dns("a"), firewall("x")}, {}, {}}, two{{}, {dns("b", "c"), firewall("y")}, {}, {}};
  ASSERT_TRUE(it->apply(one, nullptr));
  results["test /var/data/services/stage/dns/dns.conf"] = {1, "line 1\nbad option at line 3\n"};
  const auto checked = it->check(two);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::invalid);
  EXPECT_EQ(checked.error().message, "check dns (test {}/dns.conf) ended with 1: bad option at line 3");
  results.clear();
  results["reload nft"] = {2, "no\n"};
  ran.clear();
  const auto done = it->apply(two, &one);
  ASSERT_FALSE(done);
  EXPECT_TRUE(done.error().message.starts_with("reload nft (reload nft) ended with 2: no; going back: "))
      << done.error().message;
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "a");
  EXPECT_EQ(text_of("etc/dnsmasq.d/more.conf"), "(none)");
  EXPECT_EQ(text_of("etc/nft/mesh.nft"), "x");
  EXPECT_TRUE(it->unsettled()) << "nft has not taken its files again";
  EXPECT_EQ(text_of("var/data/services/output/reload-nft"), "no\n");
  results.clear();
  ran.clear();
  ASSERT_TRUE(it->apply(one, nullptr));
  EXPECT_EQ(ran, Strings{"reload nft"});
  EXPECT_FALSE(it->unsettled());
}

TEST_F(ServicesTest, WhatSomebodyElsePlacedStays) {
  ASSERT_TRUE(disk.write("etc/dnsmasq.d/dns.conf", as_bytes("theirs"), 0644));
  auto it = open(disk);
  const WantedServices wanted{{}, {dns("a")}, {}, {}};
  const auto checked = it->check(wanted);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().message,
            "service dns: /etc/dnsmasq.d/dns.conf is there already, and not from meshnode");
  EXPECT_FALSE(it->apply(wanted, nullptr));
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "theirs");
  ASSERT_TRUE(it->remove_all());
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "theirs");
  auto elsewhere = dns("a");
  elsewhere.destination = "/etc/none";
  allow = "destinations = [\"/etc/none\", \"/etc/nft\"]\ncommands = [\"test {}/dns.conf\", \"reload dns\", \"a | b\"]";
  EXPECT_EQ(it->check({{}, {elsewhere}, {}, {}}).error().code, Errc::not_found);
  auto shell = firewall("x");
  shell.reload = "a | b";
  EXPECT_EQ(it->check({{}, {shell}, {}, {}}).error().message, "\"a | b\" needs a shell, and none is used");
  auto both = dns("a");
  both.destination = "/etc/nft";
  both.files = {{"mesh.nft", "z"}};
  EXPECT_EQ(it->check({{}, {both, {"nft", "/etc/nft", "", "", {{"mesh.nft", "x"}}}}, {}, {}}).error().message,
            "two services place /etc/nft/mesh.nft");
}

TEST_F(ServicesTest, HandEditsAreNamedAndSetBack) {
  auto it = open(disk);
  const WantedServices wanted{{}, {dns("a\nb\n")}, {"ssh-ed25519 K one"}, {}};
  ASSERT_TRUE(it->apply(wanted, nullptr));
  EXPECT_TRUE(it->look(wanted).empty());
  ASSERT_TRUE(disk.write("etc/dnsmasq.d/dns.conf", as_bytes("a\nc\n"), 0644));
  auto found = it->look(wanted);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0], (Drift{"file", "/etc/dnsmasq.d/dns.conf", "b", "c"}));
  ASSERT_TRUE(disk.remove("etc/dnsmasq.d/dns.conf"));
  EXPECT_EQ(it->look(wanted).size(), 1u);
  ran.clear();
  ASSERT_TRUE(it->apply(wanted, nullptr));
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "a\nb\n");
  EXPECT_EQ(ran, Strings{"reload dns"});
}

TEST_F(ServicesTest, KeysAreABlockAndOtherLinesStay) {
  ASSERT_TRUE(disk.write("etc/ssh/keys_of_root", as_bytes("ssh-rsa MINE me"), 0600));
  auto it = open(disk);
  ASSERT_TRUE(it->apply({{}, {}, {"ssh-ed25519 K one", "ssh-ed25519 L two"}, {}}, nullptr));
  auto text = text_of("etc/ssh/keys_of_root");
  EXPECT_TRUE(text.starts_with("ssh-rsa MINE me\n# BEGIN meshnode")) << text;
  EXPECT_TRUE(text.ends_with("\nssh-ed25519 K one\nssh-ed25519 L two\n# END meshnode\n")) << text;
  ASSERT_TRUE(disk.write("etc/ssh/keys_of_root", as_bytes(text + "ssh-rsa NEW n\n"), 0600));
  ASSERT_TRUE(it->apply({{}, {}, {"ssh-ed25519 L two"}, {}}, nullptr));
  text = text_of("etc/ssh/keys_of_root");
  EXPECT_FALSE(text.contains(" K "));
  EXPECT_TRUE(text.starts_with("ssh-rsa MINE me\nssh-rsa NEW n\n# BEGIN")) << text;
  ASSERT_TRUE(it->apply({}, nullptr));
  EXPECT_EQ(text_of("etc/ssh/keys_of_root"), "ssh-rsa MINE me\nssh-rsa NEW n\n");
  ASSERT_TRUE(disk.write("etc/ssh/keys_of_root", as_bytes("# BEGIN meshnode\nssh-rsa X\n"), 0600));
  EXPECT_EQ(it->check({{}, {}, {"ssh-ed25519 K"}, {}}).error().code, Errc::conflict);
  EXPECT_FALSE(it->apply({{}, {}, {"ssh-ed25519 K"}, {}}, nullptr));
}

TEST_F(ServicesTest, AKeyCannotEndItsBlock) {
  ASSERT_TRUE(disk.write("etc/ssh/keys_of_root", as_bytes("ssh-rsa MINE me\n"), 0600));
  auto it = open(disk);
  for (const char* key : {"ssh-ed25519 K\n# END meshnode\nssh-rsa STAYS", "# END meshnode", "ssh-ed25519 K\r"}) {
    const WantedServices wanted{{}, {}, {key}, {}};
    EXPECT_EQ(it->check(wanted).error().code, Errc::invalid) << key;
    EXPECT_FALSE(it->apply(wanted, nullptr));
    EXPECT_EQ(text_of("etc/ssh/keys_of_root"), "ssh-rsa MINE me\n");
  }
}

TEST_F(ServicesTest, WhatFailedAtTheStartIsDoneLater) {
  const WantedServices wanted{{{"startup_a", "#!/bin/sh\n"}},
                              {dns("a")},
                              {},
                              {{"tlwg_12", {{"up %i"}, {}}}, {"tlwg_13", {{"up %i"}, {}}}}};
  auto it = open(disk);
  results["up tlwg_12"] = {1, "no such device"};
  it->start(wanted);
  EXPECT_FALSE(it->apply(wanted, nullptr));
  EXPECT_TRUE(std::ranges::count(ran, "up tlwg_13") == 1) << "one tunnel's command keeps no other's";
  EXPECT_EQ(text_of("etc/dnsmasq.d/dns.conf"), "a");
  EXPECT_TRUE(it->unsettled());
  results.clear();
  ran.clear();
  ASSERT_TRUE(it->apply(wanted, nullptr));
  EXPECT_EQ(ran, Strings{"up tlwg_12"});
  EXPECT_FALSE(it->unsettled());

  const auto permitted = std::exchange(allow, "");
  auto booted = open(disk, "next boot");
  booted->start(wanted);
  EXPECT_FALSE(booted->apply(wanted, nullptr));
  EXPECT_TRUE(booted->unsettled()) << "not permitted now";
  allow = permitted;
  ran.clear();
  booted->start(wanted);
  ASSERT_TRUE(booted->apply(wanted, nullptr));
  EXPECT_EQ(ran.size(), 3u) << "the script and two commands";
  EXPECT_FALSE(booted->unsettled());
}

TEST_F(ServicesTest, ScriptsRunWhenNewChangedAndAfterEachBoot) {
  const std::string run = "/var/data/services/scripts/startup_a";
  auto it = open(disk);
  const WantedServices one{{{"startup_a", "#!/bin/sh\none"}, {"startup_b", "no interpreter"}}, {}, {}, {}};
  EXPECT_TRUE(it->starts(one));
  it->start(one);
  EXPECT_EQ(ran, (Strings{run, "/bin/sh /var/data/services/scripts/startup_b"}));
  EXPECT_EQ(text_of("var/data/services/scripts/startup_a"), "#!/bin/sh\none");
  EXPECT_EQ(it->problem(), "");
  ran.clear();
  EXPECT_FALSE(open(disk)->starts(one)) << "another start of the program is no boot";
  auto changed = one;
  changed.scripts["startup_a"] = "#!/bin/sh\ntwo";
  results[run] = {3, "first\nip: no such device\n"};
  it->start(changed);
  EXPECT_EQ(ran, Strings{run});
  EXPECT_TRUE(it->problem().starts_with("startup_a ended with 3: ip: no such device")) << it->problem();
  EXPECT_EQ(it->reports()[0], (CommandReport{"startup_a", 3, "first\nip: no such device"}));
  EXPECT_EQ(text_of("var/data/services/output/startup_a"), "first\nip: no such device\n");
  results.clear();
  ran.clear();
  auto next = open(disk, "next boot");
  next->start(changed);
  EXPECT_EQ(ran.size(), 2u);
  EXPECT_EQ(next->problem(), "");
  next->start({{{"startup_b", "no interpreter"}}, {}, {}, {}});
  EXPECT_EQ(next->reports().size(), 1u);
  (void)next->take_steps();
  allow.clear();
  ran.clear();
  auto later = open(disk, "and one more");
  later->start(changed);
  EXPECT_TRUE(ran.empty());
  EXPECT_TRUE(later->problem().contains("startup_scripts = true")) << later->problem();
}

TEST_F(ServicesTest, AScriptThatEndsTheProgramRunsOnce) {
  auto it = open(disk);
  look = [&](const std::string&) { disk.die(); };
  const WantedServices wanted{{{"startup_a", "#!/bin/sh\nreboot"}}, {}, {}, {}};
  it->start(wanted);
  EXPECT_EQ(ran.size(), 1u);
  look = {};
  disk.crash(true);
  auto again = open(disk);
  EXPECT_FALSE(again->starts(wanted));
  EXPECT_TRUE(again->problem().contains("did not come to its end")) << again->problem();
}

TEST_F(ServicesTest, CommandsOfTunnelsRunOnceAndAreTakenBack) {
  auto it = open(disk);
  const WantedServices wanted{{}, {}, {}, {{"tlwg_12", {{"up %i"}, {"down %i"}}}}};
  ASSERT_TRUE(it->apply(wanted, nullptr));
  ASSERT_TRUE(it->apply(wanted, nullptr));
  EXPECT_EQ(ran, Strings{"up tlwg_12"});
  ran.clear();
  results["up tlwg_13"] = {1, "no"};
  const WantedServices other{{}, {}, {}, {{"tlwg_13", {{"up %i"}, {"down %i"}}}}};
  EXPECT_FALSE(it->apply(other, &wanted));
  EXPECT_EQ(ran, (Strings{"down tlwg_12", "up tlwg_13", "up tlwg_12"}));
}

TEST_F(ServicesTest, ATunnelsCommandThatNeedsAShellIsRefusedBeforeAnythingIsTouched) {
  allow = "commands = [\"a; b\", \"up %i\"]\n";
  auto it = open(disk);
  for (const TunnelCommands& commands : {TunnelCommands{{"a; b"}, {}}, TunnelCommands{{"up %i"}, {"a; b"}}}) {
    const auto checked = it->check({{}, {}, {}, {{"tlwg_12", commands}}});
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().message, "tunnel tlwg_12: \"a; b\" needs a shell, and none is used");
  }
  EXPECT_TRUE(ran.empty());
}

TEST_F(ServicesTest, ADaemonThatIsGoneKeepsNobodyFromLeaving) {
  auto it = open(disk);
  ASSERT_TRUE(it->apply({{}, {dns("a"), firewall("x")}, {"ssh-ed25519 K"}, {}}, nullptr));
  results["reload dns"] = {5, "dns.service is not active"};
  ASSERT_TRUE(it->remove_all());
  EXPECT_EQ(disk.list("etc/dnsmasq.d")->size() + disk.list("etc/nft")->size(), 0u);
  EXPECT_EQ(text_of("etc/ssh/keys_of_root"), "");
  EXPECT_FALSE(disk.list("var/data/services"));
}

// --- real programs ---

Result<CommandResult> sh(const std::string& script, int limit_ms = 20'000) {
  return run_command({"sh", "-c", script}, std::chrono::milliseconds(limit_ms));
}

TEST(Commands, GiveTheirCodeAndTheEndOfTheirOutput) {
  const auto both = sh("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->code, 3);
  EXPECT_EQ(both->output, "out\nerr\n");
  EXPECT_EQ(sh("kill -9 $$")->code, 137);
  EXPECT_EQ(sh("pwd; cat; env | grep -v -e PWD -e _= -e SHLVL")->output,
            "/\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
  const mode_t before = ::umask(077);
  EXPECT_EQ(sh("umask")->output, "0022\n") << "what scripts make is not for us alone";
  EXPECT_EQ(::umask(before), 077u);
  const auto much = sh("yes | head -c 200000; echo end");
  ASSERT_TRUE(much);
  EXPECT_EQ(much->output.size(), 64u * 1024);
  EXPECT_TRUE(much->output.ends_with("y\nend\n"));
}

TEST(Commands, EndWithTheirLimitsAndNotWithTheirDaemons) {
  EXPECT_EQ(sh("sleep 60 & sleep 60", 200).error().code, Errc::timeout);
  EXPECT_TRUE(sh("yes").error().message.contains("printed more than"));
  const auto left = sh("sleep 2 & echo started");
  ASSERT_TRUE(left);
  EXPECT_EQ(left->output, "started\n");
  // What is left behind can print nothing any more: nobody reads it, and it would fill the memory.
  const auto talker = sh("(while sleep 0.02 && echo x; do :; done) & echo $!");
  ASSERT_TRUE(talker);
  pollfd ended{static_cast<int>(::syscall(SYS_pidfd_open, std::stoi(talker->output), 0)), POLLIN, 0};
  EXPECT_TRUE(ended.fd < 0 || ::poll(&ended, 1, 20'000) == 1);
  ::close(ended.fd);
  EXPECT_EQ(run_command({"no-such-program"}, std::chrono::seconds(1)).error().code, Errc::unavailable);
  EXPECT_EQ(run_command({"bin/sh"}, std::chrono::seconds(1)).error().code, Errc::invalid);
  EXPECT_EQ(run_command({"/etc/passwd"}, std::chrono::seconds(1)).error().code, Errc::unavailable);
}

// The files of a version, and what a daemon read last.
TEST_F(ServicesTest, ACrashAtAnyStepEndsWithTheFilesOfOneVersion) {
  const WantedServices one{{}, {dns("a", "m"), firewall("x")}, {"ssh-ed25519 K"}, {}},
      two{{}, {dns("b"), firewall("y")}, {"ssh-ed25519 L"}, {}};
  const auto files = [&](MemoryFiles& at) {
    return text_of(at, "etc/dnsmasq.d/dns.conf") + text_of(at, "etc/dnsmasq.d/more.conf") +
           text_of(at, "etc/nft/mesh.nft") + text_of(at, "etc/ssh/keys_of_root");
  };
  std::map<std::string, std::string> read;  // by service
  uint64_t deaths = 0;
  for (const bool lucky : {false, true}) {
    for (const bool forward : {false, true}) {
      for (uint64_t step = 1;; ++step) {
        SCOPED_TRACE(testing::Message() << "step " << step << (lucky ? ", names kept" : "")
                                        << (forward ? ", on" : ", back"));
        MemoryFiles at;
        build(at);
        read.clear();
        look = [&](const std::string& command) {
          if (command == "reload dns")
            read["dns"] = text_of(at, "etc/dnsmasq.d/dns.conf") + text_of(at, "etc/dnsmasq.d/more.conf");
          if (command == "reload nft") read["nft"] = text_of(at, "etc/nft/mesh.nft");
        };
        ASSERT_TRUE(open(at)->apply(one, nullptr));
        const auto had = files(at);
        at.die_at(step);
        const bool done = open(at)->apply(two, &one).has_value();
        if (!at.dead()) {
          ASSERT_TRUE(done);
          break;
        }
        ++deaths;
        at.crash(lucky);
        at.die_at(0);
        const auto& wanted = forward ? two : one;
        auto after = open(at);
        const auto applied = after->apply(wanted, nullptr);
        ASSERT_TRUE(applied) << applied.error().message;
        ASSERT_TRUE(after->look(wanted).empty());
        ASSERT_FALSE(after->unsettled());
        ASSERT_TRUE(forward || files(at) == had) << files(at);
        ASSERT_EQ(read["dns"], forward ? "b(none)" : "am") << "the daemon read what is there";
        ASSERT_EQ(read["nft"], forward ? "y" : "x");
        const auto placed = at.list("etc/dnsmasq.d");
        ASSERT_TRUE(placed);
        for (const auto& name : *placed)
          ASSERT_TRUE(name == "dns.conf" || name == "more.conf") << name;
      }
    }
  }
  EXPECT_GT(deaths, 60u);
}

}  // namespace
}  // namespace mesh
