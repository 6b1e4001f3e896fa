// Claim: meshcli believes nothing that it can check: checkpoints, history, proofs, waiting nodes,
// enrolment data. Method: a true controller is asked first, then one thing at a time is forged.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

class Trust : public testing::Test {
 protected:
  Trust() {
    controller_.given({AddSite{"ams"}});
    controller_.given({AddNode{"r1.ams"}});
    controller_.given({SetAttribute{{Level::global, ""}, "wg_keepalive", int64_t{20}}});
  }

  Ran cli(const std::string& line) { return run_cli(controller_, line); }
  Json verification(const std::string& options, int exit) {
    const Ran ran = cli("verify -o json " + options);
    EXPECT_EQ(ran.exit, exit) << ran.out << ran.err;
    return Json::parse(ran.out, nullptr, false);
  }
  std::string kept(const std::string& note) {
    const std::string path = (std::filesystem::temp_directory_path() / "meshcli-kept").string() +
                             std::to_string(::getpid());
    std::ofstream(path) << note;
    files_.push_back(path);
    return path;
  }
  ~Trust() override {
    for (const std::string& file : files_) std::filesystem::remove(file);
  }
  static std::string json_string(const std::string& text) { return Json(text).dump(); }
  void canned_checkpoint(const std::string& note) {
    controller_.documents["checkpoint"] =
        R"({"kind":"Checkpoint","sequence":4,"note":)" + json_string(note) + "}";
  }

  FakeController controller_;
  std::vector<std::string> files_;
};

TEST_F(Trust, ATrueHistoryVerifies) {
  const Json result = verification("", 0);
  EXPECT_TRUE(flag_at(result, "ok"));
  EXPECT_EQ(number_at(result, "entries"), 4);
  EXPECT_EQ(text_at(result, "root"), to_hex(controller_.replica.frontier.root().view()));
  EXPECT_TRUE(value_at(result, "first_bad").is_null());
  EXPECT_TRUE(value_at(result, "problems").empty());
}

TEST_F(Trust, AForgedEventIsNamed) {
  // A valid envelope, an event that does not follow from the request.
  auto entry = decode_entry(controller_.entries[3]);
  std::get<AttributeSet>(entry->body->events[0]).value = int64_t{99};
  controller_.entries[3] = encode_entry(entry->header, *entry->body);
  const Json result = verification("", 12);
  EXPECT_FALSE(flag_at(result, "ok"));
  EXPECT_EQ(number_at(result, "first_bad"), 4);
  EXPECT_EQ(value_at(result, "problems").size(), 1u);
}

TEST_F(Trust, ARequestThatNobodySignedIsNamed) {
  auto entry = decode_entry(controller_.entries[2]);
  entry->body->signed_request.signature.bytes[0] ^= 1;
  controller_.entries[2] = encode_entry(entry->header, *entry->body);
  EXPECT_EQ(number_at(verification("", 12), "first_bad"), 3);
}

TEST_F(Trust, ADamagedEntryIsNamed) {
  controller_.entries[1].body[controller_.entries[1].body.size() / 2] ^= 0x40;
  EXPECT_EQ(number_at(verification("", 12), "first_bad"), 2);
}

TEST_F(Trust, ACheckpointMustBeSignedByThePinnedLogKey) {
  const std::string origin = checkpoint_origin(controller_.replica.state.log, 1);
  const SignSecret other = sign_secret(77);
  canned_checkpoint(sign_note(checkpoint_text({origin, 4, controller_.replica.frontier.root(), {}}),
                              origin, other.public_key(),
                              [&](ByteView text) { return other.sign("", text); }));
  EXPECT_EQ(cli("verify").exit, 12);
  EXPECT_EQ(cli("checkpoint").exit, 12);
  EXPECT_EQ(cli("set global wg_keepalive 30").exit, 12)
      << "no request is based on what the log key did not sign";
  EXPECT_TRUE(controller_.requests().empty());
}

TEST_F(Trust, ACheckpointThatTheEntriesDoNotGiveIsFound) {
  const std::string origin = checkpoint_origin(controller_.replica.state.log, 1);
  Digest root = controller_.replica.frontier.root();
  root.bytes[0] ^= 1;
  canned_checkpoint(
      sign_note(checkpoint_text({origin, 4, root, {}}), origin, controller_.log_secret.public_key(),
                [&](ByteView text) { return controller_.log_secret.sign("", text); }));
  const Json result = verification("", 12);
  EXPECT_TRUE(value_at(result, "first_bad").is_null());
  EXPECT_EQ(value_at(result, "problems").size(), 1u);
}

TEST_F(Trust, AKeptCheckpointShowsARewrittenOrShortenedLog) {
  const std::string note = controller_.checkpoint(3);
  EXPECT_TRUE(flag_at(verification("--against " + kept(note), 0), "ok"));
  FakeController other;  // the same keys, another history
  other.given({AddSite{"lab"}});
  other.given({AddSite{"ams"}});
  std::swap(controller_.entries, other.entries);
  std::swap(controller_.replica, other.replica);
  controller_.documents["checkpoint"] =
      R"({"kind":"Checkpoint","note":)" + json_string(other.checkpoint(3)) + "}";
  EXPECT_EQ(cli("verify --against " + kept(note)).exit, 12) << "rewritten";
  controller_.documents["checkpoint"] =
      R"({"kind":"Checkpoint","note":)" + json_string(other.checkpoint(2)) + "}";
  EXPECT_EQ(cli("verify --against " + kept(note)).exit, 12) << "shortened";
  EXPECT_EQ(cli("verify --against /nowhere").exit, 5);
}

TEST_F(Trust, NodesThatSawAnotherHistoryAreNamed) {
  const SignSecret node = sign_secret(50);
  JoinStatement statement{controller_.replica.state.log,
                          "r1.ams",
                          TokenId(),
                          node.public_key(),
                          box_secret(51).public_key(),
                          {},
                          "host",
                          "",
                          {}};
  statement.wireguard_key.bytes.fill(7);
  SignedJoin join{encode_join(statement), {}, {}};
  join.node_signature = node.sign(kJoinDomain, join.statement);
  controller_.given({ApproveNode{"r1.ams", join, statement}});
  const auto roots = [&](const std::string& note) {
    controller_.documents["nodes_roots"] =
        R"({"items":[{"node":11,"fullname":"r1.ams","cosignature":)" + json_string(note) + "}]}";
  };
  const auto cosigned = [&](const std::string& note, const SignSecret& secret) {
    return *add_note_signature(note, "node-11", secret.public_key(),
                               [&](ByteView text) { return secret.sign("", text); });
  };
  roots(cosigned(controller_.checkpoint(3), node));
  EXPECT_EQ(number_at(verification("--nodes", 0), "nodes_agree"), 1);
  roots(cosigned(controller_.checkpoint(3), sign_secret(52)));
  verification("--nodes", 12);
  const std::string origin = checkpoint_origin(controller_.replica.state.log, 1);
  roots(cosigned(sign_note(checkpoint_text({origin, 3, Digest{}, {}}), origin,
                           controller_.log_secret.public_key(),
                           [&](ByteView text) { return controller_.log_secret.sign("", text); }),
                 node));
  const Json result = verification("--nodes", 12);
  EXPECT_NE(json_text(value_at(result, "problems")).find("r1.ams saw another history"),
            std::string::npos);
}

TEST_F(Trust, AProofIsCheckedHere) {
  const Entry entry = *decode_entry(controller_.entries[1]);
  std::vector<Digest> leaves;
  for (const EncodedEntry& encoded : controller_.entries)
    leaves.push_back(leaf_hash(encoded.header));
  const auto read = [&](unsigned level, uint64_t index) -> Result<Digest> {
    return level == 0 ? leaves[index] : node_hash(leaves[2 * index], leaves[2 * index + 1]);
  };
  Json document{{"kind", "Proof"}, {"entry", 2}, {"size", 4}, {"proof", Json::array()}};
  document["leaf"] = to_hex(entry.leaf.view());
  document["header"] = to_base64(controller_.entries[1].header);
  document["root"] = to_hex(controller_.replica.frontier.root().view());
  document["checkpoint"] = controller_.checkpoint(4);
  const auto path = inclusion_proof(1, 4, read);
  for (const Digest& hash : *path) document["proof"].push_back(to_hex(hash.view()));
  const auto exit_with = [&](const Json& proof) {
    controller_.documents["prove"] = proof.dump();
    return cli("prove 2 -o json").exit;
  };
  EXPECT_EQ(exit_with(document), 0);
  for (const char* key : {"leaf", "root"}) {
    Json forged = document;
    forged[key] = std::string(64, '0');
    EXPECT_EQ(exit_with(forged), 12) << key;
  }
  Json forged = document;
  forged["proof"][0] = std::string(64, '0');
  EXPECT_EQ(exit_with(forged), 12);
  forged = document;
  forged["header"] = to_base64(controller_.entries[2].header);
  EXPECT_EQ(exit_with(forged), 12);
}

TEST_F(Trust, AConsistencyProofIsCheckedHere) {
  std::vector<Digest> leaves;
  for (const EncodedEntry& encoded : controller_.entries) leaves.push_back(leaf_hash(encoded.header));
  const HashReader read = [&](unsigned level, uint64_t index) -> Result<Digest> {
    if (level == 0) return leaves[index];
    return node_hash(*read(level - 1, 2 * index), *read(level - 1, 2 * index + 1));
  };
  const auto document = [&](uint64_t from, uint64_t to) {
    Json out{{"kind", "Consistency"}, {"from", from}, {"to", to}};
    out["from_root"] = to_hex(root_at(from, read)->view());
    out["to_root"] = to_hex(root_at(to, read)->view());
    for (auto [name, begin, end] : {std::tuple("proof", from, to), std::tuple("head_proof", to, uint64_t{4})}) {
      out[name] = Json::array();
      const auto proof = consistency_proof(begin, end, read);
      for (const Digest& hash : *proof) out[name].push_back(to_hex(hash.view()));
    }
    out["checkpoint"] = controller_.checkpoint(4);
    return out;
  };
  const auto exit_with = [&](const Json& proof, const std::string& sizes) {
    controller_.documents["consistency"] = proof.dump();
    return cli("prove consistency " + sizes + " -o json").exit;
  };
  EXPECT_EQ(exit_with(document(3, 4), "3"), 0);
  EXPECT_EQ(exit_with(document(2, 3), "2 3"), 0);
  EXPECT_EQ(exit_with(document(2, 3), "2"), 12) << "another size than asked";
  for (const char* key : {"from_root", "to_root"}) {
    Json forged = document(2, 3);
    forged[key] = std::string(64, '0');
    EXPECT_EQ(exit_with(forged, "2 3"), 12) << key;
  }
  Json forged = document(3, 4);
  forged["proof"][1] = std::string(64, '0');
  EXPECT_EQ(exit_with(forged, "3"), 12);
  EXPECT_EQ(exit_with(document(3, 4), kept(controller_.checkpoint(3))), 0);
  FakeController other;
  other.given({AddSite{"lab"}});
  other.given({AddSite{"ams"}});
  EXPECT_EQ(exit_with(document(3, 4), kept(other.checkpoint(3))), 12) << "a checkpoint of another history";
  EXPECT_EQ(exit_with(document(3, 4), "/nowhere"), 64);
}

TEST_F(Trust, SeveralKeptCheckpointsAreEachJudged) {
  FakeController other;
  other.given({AddSite{"lab"}});
  const std::string good = kept(controller_.checkpoint(2) + controller_.checkpoint(3));
  EXPECT_EQ(value_at(verification("--against " + good, 0), "checkpoints").size(), 2u);
  const std::string path = good + ".other";
  std::ofstream(path) << other.checkpoint(2);
  files_.push_back(path);
  const Json result = verification("--against " + good + " --against " + path, 12);
  EXPECT_EQ(value_at(result, "problems").size(), 1u);
  EXPECT_NE(json_text(value_at(result, "problems")).find("equivocation"), std::string::npos);
  EXPECT_EQ(text_at(value_at(result, "checkpoints")[2], "standing"), "contradicts");
}

TEST_F(Trust, WhatANodeRefusedIsEvidence) {
  FakeController other;  // the same keys: what the controller showed to that node
  other.given({AddSite{"lab"}});
  const auto roots = [&](const std::string& note) {
    controller_.documents["nodes_roots"] =
        R"({"items":[{"node":11,"fullname":"r1.ams","cosignature":"","problem":"equivocation","contradiction":)" +
        json_string(note) + "}]}";
  };
  roots(other.checkpoint(2));
  const Json result = verification("--nodes", 12);
  EXPECT_NE(json_text(value_at(result, "problems")).find("equivocation: r1.ams was given"), std::string::npos);
  roots(controller_.checkpoint(2));
  verification("--nodes", 0);
  std::string forged = other.checkpoint(2);
  forged[forged.size() - 10] ^= 1;
  roots(forged);
  verification("--nodes", 0);  // not signed by the log key: a node's word alone proves nothing
}

TEST_F(Trust, AnEpochIsFollowedAndWhatItGaveUpIsNoEquivocation) {
  const std::string before = controller_.checkpoint(4);
  FakeController lost;  // the same history, and what was lost
  lost.given({AddSite{"ams"}});
  lost.given({AddNode{"r1.ams"}});
  lost.given({SetAttribute{{Level::global, ""}, "wg_keepalive", int64_t{20}}});
  lost.given({AddSite{"lost"}});
  lost.given({AddSite{"more"}});
  controller_.given({StartEpoch{2, Sequence(4), controller_.replica.frontier.root(), NodeId(1011), Version(1001)}});
  EXPECT_EQ(number_at(verification("--against " + kept(before + lost.checkpoint(6)), 0), "epoch"), 2);
  const Json result = verification("--against " + kept(before + lost.checkpoint(6)), 0);
  EXPECT_EQ(text_at(value_at(result, "checkpoints")[0], "standing"), "agrees");
  EXPECT_EQ(text_at(value_at(result, "checkpoints")[1], "standing"), "given up");
  EXPECT_EQ(value_at(result, "warnings").size(), 1u);
}

TEST_F(Trust, OnlyAReplayedStateIsCountersigned) {
  ASSERT_EQ(cli("checkpoint sign").exit, 0);
  const Request request = controller_.requests().at(0);
  const auto& anchor = std::get<SignAnchor>(request.commands.at(0));
  EXPECT_EQ(anchor.sequence, Sequence(4));
  EXPECT_EQ(anchor.root, parse_checkpoint_text(controller_.checkpoint(4))->root);
  controller_.entries[1].body[controller_.entries[1].body.size() / 2] ^= 0x40;
  controller_.heard.clear();
  EXPECT_EQ(cli("checkpoint sign").exit, 12);
  EXPECT_TRUE(controller_.requests().empty());
}

TEST_F(Trust, ATokenHoldsWhatTheContextPins) {
  const Ran ran = cli("token create --node r1.ams --expires 1h -o json");
  ASSERT_EQ(ran.exit, 0) << ran.err;
  const Json document = Json::parse(ran.out);
  const auto token = decode_token(text_at(document, "token"));
  ASSERT_TRUE(token.has_value());
  EXPECT_EQ(token->log, controller_.replica.state.log);
  EXPECT_EQ(token->log_key, controller_.log_secret.public_key());
  EXPECT_EQ(token->controller_key, controller_.controller_box.public_key());
  EXPECT_EQ(token->node, "r1.ams");
  EXPECT_EQ(token->token, TokenId(1));
  EXPECT_EQ(text_at(document, "id"), "1");
  EXPECT_EQ(text_at(document, "expires"), "2026-01-01T01:00:00.000000Z");
  // The log holds only the public half.
  const Token& logged = controller_.replica.state.tokens.at(TokenId(1));
  EXPECT_EQ(SignSecret::from_seed(token->seed)->public_key(), logged.key);
  EXPECT_FALSE(logged.approve);
  ASSERT_EQ(cli("token create --site ams --uses 3 --expires never").exit, 0);
  EXPECT_TRUE(controller_.replica.state.tokens.at(TokenId(2)).approve)
      << "a site's token waits for an approval";
  EXPECT_EQ(controller_.replica.state.tokens.at(TokenId(2)).expires, Timestamp());
  EXPECT_EQ(cli("token create").exit, 64);
  EXPECT_EQ(cli("token create --node r1.ams --site ams").exit, 64);
  controller_.documents["enrolment"] =
      R"({"log":"00","log_key":"00","controller_key":"00","enrol_endpoints":["tcp://x:1"]})";
  EXPECT_EQ(cli("token create --node r1.ams").exit, 12) << "a newcomer would believe it";
}

TEST_F(Trust, AnApprovalIsForTheKeyWhoseFingerprintWasCompared) {
  const SignSecret node = sign_secret(60), other = sign_secret(61);
  const auto pending = [&](const SignSecret& signer, const SignSecret& shown) {
    JoinStatement statement{controller_.replica.state.log,
                            "r1.ams",
                            TokenId(),
                            signer.public_key(),
                            box_secret(62).public_key(),
                            {},
                            "host",
                            "",
                            {}};
    statement.wireguard_key.bytes.fill(7);
    const Bytes bytes = encode_join(statement);
    const std::string join = to_base64(bytes) + "." +
                             to_base64(signer.sign(kJoinDomain, bytes).view()) + "." +
                             to_base64(Signature{}.view());
    Json item{{"fingerprint", fingerprint(shown.public_key().view())},
              {"node", "r1.ams"},
              {"join", join}};
    Json document{{"items", Json::array()}};
    document["items"].push_back(std::move(item));
    return document.dump();
  };
  const std::string print = fingerprint(node.public_key().view());
  controller_.documents["pending"] = pending(other, node);
  EXPECT_EQ(cli("node approve " + print).exit, 12)
      << "the controller put another key behind the fingerprint";
  EXPECT_TRUE(controller_.requests().empty());
  controller_.documents["pending"] = pending(node, node);
  EXPECT_EQ(cli("node approve dead:beef").exit, 5);
  EXPECT_EQ(cli("node approve " + print.substr(0, 9)).exit, 0);
  EXPECT_EQ(controller_.replica.state.find_node("r1.ams")->sign_key, node.public_key());
}

}  // namespace
}  // namespace mesh::cli::test
