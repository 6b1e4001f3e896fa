// Claim: a recovery secret comes into a private file before the log knows its keys, and is neither overwritten nor
// shown; of those who call for recovery only the ones whose key is known get a token, which leads to the new log; a
// caller that uses another's key or name gets nothing. Method: a fake controller; calls signed for real; answers judged
// by the function that routers judge them with.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/json.h"
#include "cli/recovery/recovery_desk.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

struct Folder : testing::Test {
  Folder() {
    std::string pattern = fs::temp_directory_path() / "mesh-recovery-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
    path = directory / "fleet.recovery";
  }
  ~Folder() override { fs::remove_all(directory); }
  std::string text() const {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  void write(const std::string& content) const {
    std::ofstream(path) << content;
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  }
  fs::path directory, path;
};

LogId some_log(uint8_t number) {
  LogId out;
  out.bytes.fill(number);
  return out;
}
std::string print_of(uint8_t seed) { return fingerprint(sign_secret(seed).public_key().view()); }

// --- the file ---

using RecoveryFileTest = Folder;

TEST_F(RecoveryFileTest, RemembersRoutersAndIsReadBack) {
  const auto secret = RecoverySecret::generate();
  ASSERT_TRUE(create_recovery_file(path, secret));
  EXPECT_EQ(create_recovery_file(path, secret).error().code, Errc::conflict);
  const KnownRouter one{some_log(1), "r1.ams", print_of(1)}, two{some_log(1), "r2.ams", print_of(2)};
  ASSERT_TRUE(remember_router(path, one));
  ASSERT_TRUE(remember_router(path, two));
  ASSERT_TRUE(remember_router(path, two));
  const KnownRouter replaced{some_log(1), "r1.ams", print_of(3)};
  ASSERT_TRUE(remember_router(path, replaced));
  const auto file = load_recovery_file(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->secret.sign().public_key(), secret.sign().public_key());
  EXPECT_EQ(file->routers, (std::vector<KnownRouter>{two, replaced}));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), {}), 1) << "nothing is left beside it";
}

TEST_F(RecoveryFileTest, ATypedOneIsReadAndAWrongOneNamesTheLine) {
  const auto secret = RecoverySecret::generate();
  const std::string line(as_text(secret.text().view()));
  write("\r\n# from paper\r\n  " + line + "\r\n");
  EXPECT_TRUE(load_recovery_file(path)) << "as another editor writes it";
  for (const auto& [content, where] :
       std::vector<std::pair<std::string, std::string>>{{"# nothing\n", "no recovery secret"},
                                                        {line.substr(0, 20) + "\n", ":1: "},
                                                        {line + "\nrouter x y z\n", ":2: "},
                                                        {line + "\n\nnode\n", ":3: "}}) {
    write(content);
    const auto file = load_recovery_file(path);
    ASSERT_FALSE(file) << content;
    EXPECT_NE(file.error().message.find(where), std::string::npos) << file.error().message;
  }
  write(line + "\n");
  fs::permissions(path, fs::perms::others_read, fs::perm_options::add);
  EXPECT_EQ(load_recovery_file(path).error().code, Errc::not_permitted);
}

// --- the desk ---

struct RecoveryDeskTest : Folder {
  RecoveryDeskTest() {
    EXPECT_TRUE(create_recovery_file(path, RecoverySecret::generate()));
    EXPECT_TRUE(remember_router(path, {some_log(1), "r1.ams", print_of(21)}));
  }
  RecoveryDesk desk(const std::vector<std::string>& more = {}) {
    auto file = load_recovery_file(path);
    recovery = file->secret.sign().public_key();
    return RecoveryDesk(std::move(*file), more, [this](const std::string& name) -> Result<std::string> {
      asked.push_back(name);
      if (!problem.empty()) return fail(Errc::not_found, problem);
      TokenText token;
      token.log = some_log(9);
      token.node = name;
      token.enrol_endpoints = {"tcp://198.51.100.7:7401"};
      return encode_token(token);
    });
  }
  /// A call of the router whose keys have that seed.
  static JoinStatement call(uint8_t seed, const std::string& name = "r1.ams") {
    JoinStatement out{some_log(1), name, TokenId(), sign_secret(seed).public_key(), box_secret(seed).public_key(),
                      {},          "host", "Debian", {}};
    out.wireguard_key.bytes.fill(seed);
    out.nonce.bytes.fill(7);
    return out;
  }
  static Bytes frame(const JoinStatement& statement, uint8_t signer) {
    SignedJoin join;
    join.statement = encode_join(statement);
    join.node_signature = sign_secret(signer).sign(kJoinDomain, join.statement);
    return encode_message({5, Join{join}});
  }
  static BoxKey user(uint8_t seed) { return box_secret(seed).public_key(); }

  SignKey recovery;
  std::vector<std::string> asked;
  std::string problem;
};

TEST_F(RecoveryDeskTest, AKnownRouterGetsOneTokenForAllItsCalls) {
  auto it = desk();
  auto statement = call(21);
  for (const uint8_t nonce : {7, 8}) {
    statement.nonce.bytes.fill(nonce);
    const auto answer = it.answer(user(21), frame(statement, 21));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->correlation, 5u);
    const auto* document = std::get_if<QueryResult>(&answer->body);
    ASSERT_TRUE(document);
    AdoptionCall open{statement.log, statement.sign_key, recovery, statement.nonce, 0};
    const auto token = check_adoption(document->json, open);
    ASSERT_TRUE(token) << token.error().message;
    EXPECT_EQ(token->log, some_log(9));
    EXPECT_EQ(token->node, "r1.ams");
    open.router = sign_secret(22).public_key();
    EXPECT_FALSE(check_adoption(document->json, open)) << "it is for that router alone";
  }
  EXPECT_EQ(asked, std::vector<std::string>{"r1.ams"});
  ASSERT_EQ(it.callers().size(), 1u);
  EXPECT_EQ(it.callers()[0].stage, RecoveryCaller::Stage::answered);
  it.adopted(print_of(21));
  EXPECT_EQ(it.callers()[0].stage, RecoveryCaller::Stage::adopted);
  it.forget_tokens();
  (void)it.answer(user(21), frame(statement, 21));
  EXPECT_EQ(asked.size(), 2u);
}

TEST_F(RecoveryDeskTest, ANameIsNoProof) {
  auto it = desk();
  const auto answer = it.answer(user(30), frame(call(30), 30));
  ASSERT_TRUE(answer);
  EXPECT_EQ(std::get<Waiting>(answer->body).fingerprint, print_of(30));
  EXPECT_TRUE(asked.empty());
  EXPECT_EQ(it.callers().at(0).stage, RecoveryCaller::Stage::unknown);
  auto told = desk({print_of(30)});
  EXPECT_TRUE(std::holds_alternative<QueryResult>(told.answer(user(30), frame(call(30), 30))->body));
}

TEST_F(RecoveryDeskTest, AKnownRouterDoesNotBecomeAnother) {
  auto it = desk();
  const auto answer = it.answer(user(21), frame(call(21, "r2.ams"), 21));
  EXPECT_EQ(std::get<Refused>(answer->body).error.message, "the file knows this key as r1.ams");
  EXPECT_TRUE(asked.empty());
  auto renamed = desk({print_of(21)});
  EXPECT_TRUE(std::holds_alternative<QueryResult>(renamed.answer(user(21), frame(call(21, "r2.ams"), 21))->body));
}

TEST_F(RecoveryDeskTest, AForeignKeyOrSignatureGetsNothing) {
  auto it = desk();
  auto other_box = call(21);
  other_box.box_key = user(30);
  auto with_token = call(21);
  with_token.token = TokenId(3);
  auto no_nonce = call(21);
  no_nonce.nonce = {};
  for (const auto& [sent_by, bytes] : std::vector<std::pair<BoxKey, Bytes>>{{user(30), frame(call(21), 21)},
                                                                            {user(21), frame(call(21), 30)},
                                                                            {user(21), frame(other_box, 21)},
                                                                            {user(21), frame(with_token, 21)},
                                                                            {user(21), frame(no_nonce, 21)}}) {
    const auto answer = it.answer(sent_by, bytes);
    ASSERT_TRUE(answer);
    EXPECT_EQ(std::get<Refused>(answer->body).error.code, Errc::unauthenticated);
  }
  const auto whole = frame(call(21), 21);
  for (size_t size = 0; size < whole.size(); size += 7) (void)it.answer(user(21), ByteView(whole).first(size));
  EXPECT_FALSE(it.answer(user(21), encode_message({1, Query{"state", {}, {}}}))) << "nothing else is served";
  EXPECT_TRUE(asked.empty());
  EXPECT_TRUE(it.callers().empty());
}

TEST_F(RecoveryDeskTest, WhatTheNewLogLacksIsToldAndAskedAgain) {
  auto it = desk();
  problem = "this log has no node r1.ams";
  EXPECT_EQ(std::get<Refused>(it.answer(user(21), frame(call(21), 21))->body).error.message, problem);
  EXPECT_EQ(it.callers().at(0).detail, problem);
  problem.clear();
  EXPECT_TRUE(std::holds_alternative<QueryResult>(it.answer(user(21), frame(call(21), 21))->body));
  EXPECT_EQ(it.callers().at(0).detail, "");
}

// --- the verbs ---

struct RecoveryVerbs : Folder {
  RecoveryVerbs() {
    controller.given({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}});
    controller.documents["enrolment"] =
        Json{{"log", to_hex(controller.replica.state.log.view())},
             {"log_key", to_hex(controller.log_secret.public_key().view())},
             {"controller_key", to_hex(controller.controller_box.public_key().view())},
             {"enrol_endpoints", {"tcp://198.51.100.7:7401"}}}
            .dump();
    say("r1.ams", print_of(60));
  }
  void say(const std::string& node, const std::string& print) {
    const Json item{{"id", 11}, {"fullname", node}, {"state", "ok"}, {"fingerprint", print}, {"recovery", false}};
    controller.documents["status"] = Json{{"kind", "Status"}, {"items", {item}}}.dump();
  }
  Ran cli(const std::string& line) { return run_cli(controller, line); }
  const Node& node(const std::string& name) { return *controller.replica.state.find_node(name); }
  RecoveryFile file() const { return std::move(*load_recovery_file(path)); }

  FakeController controller;
};

TEST_F(RecoveryVerbs, ATokenAndItsSecretAreOneRequest) {
  const auto before = controller.entries.size();
  Ran ran = cli("token create --node r1.ams --recovery-out " + path.string());
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(controller.entries.size(), before + 1);
  EXPECT_EQ(node("r1.ams").recovery_sign, file().secret.sign().public_key());
  EXPECT_EQ(node("r1.ams").recovery_box, file().secret.box().public_key());
  EXPECT_TRUE(file().routers.empty()) << "its key is not known yet";
  const auto secret = text().substr(text().find("mlrec1-"), 55);
  EXPECT_EQ((ran.out + ran.err).find(secret), std::string::npos) << "it is in the file alone";

  ran = cli("token create --node r2.ams --recovery-out " + path.string());
  EXPECT_EQ(ran.exit, 6) << "nothing is overwritten";
  EXPECT_EQ(controller.entries.size(), before + 1);
  EXPECT_EQ(cli("token create --node r2.ams --recovery " + path.string()).exit, 0);
  EXPECT_EQ(node("r2.ams").recovery_sign, node("r1.ams").recovery_sign) << "one secret for both";
  EXPECT_EQ(cli("token create --site ams --recovery " + path.string()).exit, 64);
  EXPECT_EQ(cli("token create --node r2.ams --recovery x --recovery-out y").exit, 64);
}

TEST_F(RecoveryVerbs, WhatIsRefusedOrOnlyTriedLeavesNoFile) {
  EXPECT_NE(cli("token create --node r9.ams --recovery-out " + path.string()).exit, 0);
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(cli("token create --node r1.ams --dry-run --recovery-out " + path.string()).exit, 0);
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(node("r1.ams").recovery_sign.is_zero());
}

TEST_F(RecoveryVerbs, AnEnrolledNodeGetsOneAndLosesIt) {
  EXPECT_NE(cli("node recovery r1.ams").out.find("nobody"), std::string::npos);
  Ran ran = cli("node recovery r1.ams --recovery-out " + path.string());
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(node("r1.ams").recovery_sign, file().secret.sign().public_key());
  EXPECT_EQ(file().routers, (std::vector<KnownRouter>{{controller.replica.state.log, "r1.ams", print_of(60)}}));
  EXPECT_EQ(cli("node recovery r1.ams --none --recovery " + path.string()).exit, 64);
  ASSERT_EQ(cli("node recovery r1.ams --none").exit, 0);
  EXPECT_TRUE(node("r1.ams").recovery_sign.is_zero());
  say("r2.ams", "");
  ran = cli("node recovery r2.ams --recovery " + path.string());
  EXPECT_EQ(ran.exit, 0);
  EXPECT_NE(ran.err.find("has no key yet"), std::string::npos) << ran.err;
}

TEST_F(RecoveryVerbs, RecoverSaysWhatItNeeds) {
  EXPECT_EQ(cli("recover").exit, 64);
  EXPECT_EQ(cli("recover --listen tcp://127.0.0.1:0 --recovery " + path.string()).exit, 5) << "no such file";
  ASSERT_TRUE(create_recovery_file(path, RecoverySecret::generate()));
  EXPECT_EQ(cli("recover --listen nonsense --recovery " + path.string()).exit, 64);
  EXPECT_EQ(cli("recover --listen tcp://127.0.0.1:0 --fingerprint 3f2a --recovery " + path.string()).exit, 64);
}

}  // namespace
}  // namespace mesh::cli::test
