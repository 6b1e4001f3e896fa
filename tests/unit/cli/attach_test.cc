// Claim: attach admits exactly the newcomer that the operator chose, by number or whole fingerprint, never
// another, and follows it to its first version. Method: a fake controller in whose waiting room real joins
// stand; what the nodes then say is canned.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/recovery/recovery_file.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

class Attach : public testing::Test {
 protected:
  Attach() {
    controller_.given({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}});
    say("r1.ams", "not enrolled");
    controller_.documents["links"] = R"({"items":[{},{}]})";
    wait_in_room({60, 61});
  }

  static std::string print_of(uint8_t seed) { return fingerprint(sign_secret(seed).public_key().view()); }

  Json waiting(uint8_t seed, const std::string& shown) const {
    JoinStatement statement{controller_.replica.state.log, "", TokenId(), sign_secret(seed).public_key(),
                            box_secret(seed).public_key(), {}, "host" + std::to_string(seed), "Debian 12", {}};
    statement.wireguard_key.bytes.fill(seed);
    const Bytes bytes = encode_join(statement);
    return {{"fingerprint", shown},
            {"node", ""},
            {"address", "198.51.100." + std::to_string(seed)},
            {"hostname", statement.hostname},
            {"machine", statement.machine},
            {"since", "2026-01-01T00:00:00Z"},
            {"join", to_base64(bytes) + "." + to_base64(sign_secret(seed).sign(kJoinDomain, bytes).view()) + "."}};
  }
  void wait_in_room(const std::vector<uint8_t>& seeds) {
    Json document{{"kind", "PendingList"}, {"items", Json::array()}};
    for (const uint8_t seed : seeds) document["items"].push_back(waiting(seed, print_of(seed)));
    controller_.documents["pending"] = document.dump();
  }
  /// The status of the one node that is asked about.
  void say(const std::string& node, const std::string& state, int64_t head = 0, int64_t latest = 0, int64_t wanted = 0,
           int64_t active = 0) {
    const Json item{{"id", 11}, {"fullname", node}, {"state", state}, {"connected", head > 0}, {"head", head},
                    {"version_latest", latest}, {"version_wanted", wanted}, {"version_active", active}};
    Json document{{"kind", "Status"}, {"items", Json::array()}};
    document["items"].push_back(item);
    controller_.documents["status"] = document.dump();
  }
  Ran cli(const std::string& line, const Setting& setting = {}) { return run_cli(controller_, line, setting); }
  const Node& node(const std::string& name = "r1.ams") { return *controller_.replica.state.find_node(name); }

  FakeController controller_;
};

TEST_F(Attach, TheWholeFingerprintAdmitsItsKeyAndNoOther) {
  const Ran ran = cli("attach node r1.ams --no-wait --fingerprint " + print_of(61));
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.out.find("node r1.ams: admitted " + print_of(61) + " (host61)"), std::string::npos) << ran.out;
  EXPECT_EQ(node().sign_key, sign_secret(61).public_key());
  EXPECT_EQ(node().enrolment, Enrolment::enrolled);
  bool gathers = false;
  for (const Query& query : controller_.heard_of<Query>()) gathers |= query.arguments.contains("gather");
  EXPECT_TRUE(gathers) << "the door stays shut otherwise";
}

TEST_F(Attach, ARecoverySecretGoesWithTheAdmission) {
  const auto path = std::filesystem::temp_directory_path() / ("mesh-attach-" + std::to_string(::getpid()));
  const size_t before = controller_.entries.size();
  const Ran ran =
      cli("attach node r1.ams --no-wait --fingerprint " + print_of(61) + " --recovery-out " + path.string());
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(controller_.entries.size(), before + 1) << "one entry";
  const auto file = load_recovery_file(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(node().recovery_sign, file->secret.sign().public_key());
  EXPECT_EQ(file->routers, (std::vector<KnownRouter>{{controller_.replica.state.log, "r1.ams", print_of(61)}}));
  std::filesystem::remove(path);
}

TEST_F(Attach, AWrongAPartialAndAForgedFingerprintAdmitNobody) {
  EXPECT_EQ(cli("attach node r1.ams --timeout 5s --fingerprint " + print_of(99)).exit, 9);
  EXPECT_EQ(cli("attach node r1.ams --fingerprint " + print_of(60).substr(0, 9)).exit, 64);
  Json document{{"items", Json::array()}};
  document["items"].push_back(waiting(61, print_of(60)));
  controller_.documents["pending"] = document.dump();
  EXPECT_EQ(cli("attach node r1.ams --fingerprint " + print_of(60)).exit, 12) << "the controller lied";
  EXPECT_TRUE(controller_.requests().empty());
}

TEST_F(Attach, NobodyIsGuessedWithoutAPerson) {
  for (const std::string options : {"", " --no-input", " --yes", " -o json"}) {
    const Ran ran = cli("attach node r1.ams" + options);
    EXPECT_EQ(ran.exit, 64) << options;
    EXPECT_NE(ran.out.find(print_of(60)), std::string::npos) << "who waits is told:\n" << ran.out;
  }
  EXPECT_TRUE(controller_.requests().empty());
}

TEST_F(Attach, APersonChoosesByNumberWaitsAgainOrLeaves) {
  EXPECT_EQ(cli("attach node r1.ams", {.typed = "q\n", .terminal = true}).exit, 0);
  EXPECT_TRUE(controller_.requests().empty());
  Setting setting{.typed = "r\n7\n2\n", .terminal = true};
  int64_t gathered = 0;
  setting.while_sleeping = [&](int64_t now_ms) { gathered = now_ms; };
  const Ran ran = cli("attach node r1.ams --no-wait", setting);
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(gathered, 60'000) << "20 seconds, again after r and after what is no choice";
  EXPECT_NE(ran.out.find("198.51.100.61"), std::string::npos);
  EXPECT_EQ(node().sign_key, sign_secret(61).public_key());
  EXPECT_EQ(cli("attach node r2.ams", {.typed = "", .terminal = true}).exit, 0) << "nobody types any more";
}

TEST_F(Attach, ItIsFollowedToItsFirstVersion) {
  Setting setting;
  setting.while_sleeping = [&](int64_t now_ms) {
    if (now_ms == 2'000) say("r1.ams", "applying", 99, 1, 1, 0);
    if (now_ms == 4'000) say("r1.ams", "ok", 99, 1, 1, 1);
  };
  const Ran ran = cli("attach node r1.ams --fingerprint " + print_of(60), setting);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.err.find("r1.ams: synced\nr1.ams: runs v1\n"), std::string::npos) << ran.err;
}

TEST_F(Attach, WhatIsNotCommittedOrActiveIsTheNextStepAndSilenceTimesOut) {
  Setting synced;
  synced.while_sleeping = [&](int64_t) { say("r1.ams", "ok", 99); };
  Ran ran = cli("attach node r1.ams --fingerprint " + print_of(60), synced);
  EXPECT_EQ(ran.exit, 0);
  EXPECT_NE(ran.err.find("next: meshcli commit all"), std::string::npos) << ran.err;
  say("r2.ams", "not enrolled");
  ran = cli("attach node r2.ams --timeout 30s -o json --fingerprint " + print_of(61));
  EXPECT_EQ(ran.exit, 9);
  const Json document = Json::parse(ran.out, nullptr, false);
  EXPECT_EQ(text_at(document, "stage"), "admitted") << ran.out;
  EXPECT_TRUE(flag_at(value_at(document, "admitted"), "changed"));
}

TEST_F(Attach, AReplacementIsOneRequestThatIsConfirmed) {
  ASSERT_EQ(cli("attach node r1.ams --no-wait --fingerprint " + print_of(60)).exit, 0);
  say("r1.ams", "unreachable");
  EXPECT_EQ(cli("attach node r1.ams --fingerprint " + print_of(61)).exit, 6) << "without --replace";
  EXPECT_EQ(cli("attach node r1.ams --replace --fingerprint " + print_of(61)).exit, 64) << "nobody typed its name";
  const size_t before = controller_.entries.size();
  Ran ran = cli("attach node r1.ams --replace --no-wait --fingerprint " + print_of(61),
                {.typed = "r2.ams\n", .terminal = true});
  EXPECT_EQ(ran.exit, 64);
  EXPECT_EQ(controller_.entries.size(), before);
  const NodeId id = node().id;
  ran = cli("attach node r1.ams --replace --no-wait --fingerprint " + print_of(61),
            {.typed = "r1.ams\n", .terminal = true});
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.err.find("its id 11, its addresses and 2 links go to host61"), std::string::npos) << ran.err;
  EXPECT_EQ(controller_.entries.size(), before + 1) << "one entry";
  EXPECT_EQ(node().id, id);
  EXPECT_EQ(node().sign_key, sign_secret(61).public_key());
  EXPECT_EQ(cli("attach node r1.ams --replace --yes --no-wait --fingerprint " + print_of(60)).exit, 0);
}

TEST_F(Attach, AsTlmItIsTheSameWithItsExitCodes) {
  EXPECT_EQ(cli("attach node r1.ams --no-input", {.program = "tlm"}).exit, 2);
  EXPECT_EQ(cli("attach node r1.ams --timeout 1s --fingerprint " + print_of(99), {.program = "tlm"}).exit, 1);
  EXPECT_EQ(cli("attach node r1.ams --no-wait --fingerprint " + print_of(60), {.program = "tlm"}).exit, 0);
}

}  // namespace
}  // namespace mesh::cli::test
