// Claim: a restored log takes nothing but a new epoch that stands on its own history, and every
// reader can check that; a backup becomes the same log again or none; operators fetch blobs, and put files with the
// requests that name them. Method: a Controller over a log in memory, driven with encoded frames; backups made of its
// log, also forged ones.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "broker/controller.h"
#include "broker/restore.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/canonical.h"
#include "tests/support/archive_bytes.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using test::Desk;

StartEpoch next_epoch(const Desk& desk) {
  const MeshState& state = desk.controller->state();
  return {state.epoch + 1, state.sequence, desk.controller->log().frontier().root(),
          NodeId(state.next_node.value() + 1'000), Version(1'000)};
}

/// A controller whose log has a site, a node and an open token, restored just now.
void fill_and_restore(Desk& desk) {
  desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}});
  CreateToken token;
  token.key = test::sign_secret("token").public_key();
  token.target = {Level::node, "r1.ams"};
  token.uses = 1;
  token.expires = Timestamp(desk.now.wall.value() + 1'000'000);
  desk.submit({token});
  ASSERT_EQ(desk.controller->state().tokens.size(), 1u);
  desk.options.restored = Restored{1, desk.disk->head()};
  desk.restart();
}

Status replay_all(const EventLog& log, Replica& replica) {
  auto entries = log.read(Sequence(1), SIZE_MAX, SIZE_MAX);
  if (!entries) return std::unexpected(entries.error());
  for (const EncodedEntry& encoded : *entries)
    MESH_TRY(replay(replica, *decode_entry(encoded), log.id()));
  return {};
}

TEST(RestoredController, RefusesEverythingButANewEpoch) {
  Desk desk;
  fill_and_restore(desk);
  const Sequence head = desk.disk->head();
  for (const bool dry_run : {false, true}) {
    const Error error = desk.error_of(
        desk.ask(desk.alice, Submit{Desk::sign(desk.request({AddSite{"lab"}})), dry_run}));
    EXPECT_EQ(error.code, Errc::unavailable);
    EXPECT_NE(error.message.find("restored from a backup that ends at #3"), std::string::npos);
    EXPECT_NE(error.fix.find("start-epoch"), std::string::npos);
  }
  EXPECT_EQ(desk.error_of(desk.submit({next_epoch(desk), AddSite{"lab"}})).code, Errc::unavailable);
  desk.now.wall = Timestamp(desk.now.wall.value() + 10'000'000);  // the token is over
  desk.now.mono_ms += 10'000;
  desk.controller->tick(desk.now);
  EXPECT_EQ(desk.disk->head(), head);
  const Body status = desk.ask(desk.alice, Query{"controller", {}, {}});
  const std::string json = std::get<QueryResult>(status).json;
  EXPECT_NE(json.find("\"read_only\":true"), std::string::npos);
  EXPECT_NE(json.find("restored from a backup"), std::string::npos);
}

TEST(RestoredController, WritesAgainInTheNextEpoch) {
  Desk desk;
  fill_and_restore(desk);
  StartEpoch wrong = next_epoch(desk);
  wrong.base_root.bytes[0] ^= 1;
  EXPECT_EQ(desk.error_of(desk.submit({wrong})).code, Errc::conflict);
  const SignedRequest of_before = Desk::sign(desk.request({AddSite{"old"}}));
  ASSERT_TRUE(std::holds_alternative<Reply>(desk.submit({next_epoch(desk)})));
  EXPECT_EQ(desk.controller->read_only(), "");
  EXPECT_EQ(desk.error_of(desk.ask(desk.alice, Submit{of_before, false})).code, Errc::conflict);
  ASSERT_TRUE(std::holds_alternative<Reply>(desk.submit({AddNode{"r2.ams"}})));
  EXPECT_EQ(desk.controller->state().find_node("r2.ams")->id, NodeId(1'012));
  // The mark of the restore is still there when it starts again: it is of an epoch that is over.
  desk.restart();
  EXPECT_EQ(desk.controller->read_only(), "");

  Replica replica;
  auto replayed = replay_all(*desk.disk, replica);
  ASSERT_TRUE(replayed) << replayed.error().message;
  const CreateLog& log = replica.state.genesis;
  auto note = open_checkpoint(desk.disk->checkpoint(), checkpoint_origin(replica.state.log, 2),
                              log.log_key);
  ASSERT_TRUE(note) << note.error().message;
  EXPECT_TRUE(matches(replica, *note));
  note->origin = checkpoint_origin(replica.state.log, 1);
  EXPECT_FALSE(matches(replica, *note)) << "the epoch before is over";
}

TEST(RestoredController, TheCheckpointOverTheEpochsFirstEntryIsOfThatEpoch) {
  Desk desk;
  fill_and_restore(desk);
  const StartEpoch start = next_epoch(desk);
  desk.give(desk.alice, Submit{Desk::sign(desk.request({start})), false});
  Request other = desk.request({AddSite{"lab"}});
  other.epoch = 2;  // in the same batch
  desk.give(desk.alice, Submit{Desk::sign(other), false});
  desk.answers();
  EXPECT_EQ(desk.disk->head(), Sequence(start.base.value() + 2));
  auto note = parse_checkpoint_text(desk.disk->checkpoint());
  ASSERT_TRUE(note);
  EXPECT_EQ(note->origin, checkpoint_origin(desk.controller->state().log, 2));
}

TEST(Replay, AnEpochOnAnotherHistoryIsRefused) {
  test::World world;
  world.must(AddSite{"ams"});
  Replica replica = world.replica();
  StartEpoch start{2, world.state().sequence, replica.frontier.root(), NodeId(1'000), Version(100)};
  start.base_root.bytes[31] ^= 1;
  world.must(start);
  auto replayed = replay(replica, *decode_entry(world.entries().back()), world.state().log);
  ASSERT_FALSE(replayed);
  EXPECT_EQ(replayed.error().code, Errc::corrupt);
  EXPECT_NE(replayed.error().message.find("root"), std::string::npos);
}

TEST(Blobs, OperatorsFetchThemInPieces) {
  Desk desk;
  Bytes bytes(600'000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  const Blob blobs[] = {{sha256(bytes), bytes}, {sha256({}), {}}};
  ASSERT_TRUE(desk.disk->put_blobs(blobs));
  Bytes got;
  while (got.size() < bytes.size()) {
    const Body body = desk.ask(desk.alice, Fetch{blobs[0].digest, got.size(), 250'000});
    const auto* chunk = std::get_if<BlobChunk>(&body);
    ASSERT_TRUE(chunk);
    EXPECT_EQ(chunk->total, bytes.size());
    EXPECT_EQ(chunk->offset, got.size());
    ASSERT_LE(chunk->bytes.size(), 250'000u);
    got.insert(got.end(), chunk->bytes.begin(), chunk->bytes.end());
  }
  EXPECT_EQ(got, bytes);
  const Body empty = desk.ask(desk.alice, Fetch{blobs[1].digest, 0, 100});
  ASSERT_TRUE(std::holds_alternative<BlobChunk>(empty));
  EXPECT_EQ(desk.error_of(desk.ask(desk.alice, Fetch{blobs[1].digest, 1, 100})).code, Errc::usage);
  EXPECT_EQ(desk.error_of(desk.ask(desk.alice, Fetch{Digest(), 0, 100})).code, Errc::not_found);
  desk.submit({AddOperator{"vera", Role::viewer, {}, test::sign_secret("vera").public_key(),
                           test::box_secret("vera").public_key()}});
  const SessionId vera{test::box_secret("vera").public_key(), 2, false};
  EXPECT_TRUE(std::holds_alternative<BlobChunk>(desk.ask(vera, Fetch{blobs[0].digest, 0, 100})))
      << "who sees the log sees what it names";
}

// Small questions with large answers: what one session gets before anything is sent is bounded.
TEST(Blobs, OneSessionCannotFillTheMemory) {
  Desk desk;
  const Bytes blob(kFileBytesMax, 'x');
  const Digest digest = sha256(blob);
  ASSERT_TRUE(desk.disk->put_blobs(std::vector<Blob>{{digest, blob}}));
  constexpr size_t kAsked = 100;
  for (size_t i = 0; i < kAsked; ++i) desk.give(desk.alice, Fetch{digest});
  uint64_t bytes = 0;
  size_t refused = 0;
  for (const auto& [to, message] : desk.answers()) {
    if (const auto* chunk = std::get_if<BlobChunk>(&message.body)) bytes += chunk->bytes.size();
    if (const auto* error = std::get_if<ErrorReply>(&message.body)) {
      EXPECT_EQ(error->error.code, Errc::exhausted);
      ++refused;
    }
  }
  EXPECT_EQ(bytes, 2 * kVersionFilesBytesMax);
  EXPECT_EQ(refused, kAsked - 2 * kVersionFilesBytesMax / kFileBytesMax);
  EXPECT_TRUE(std::holds_alternative<BlobChunk>(desk.ask(desk.alice, Fetch{digest}))) << "later it gets the rest";
}

/// A file of the log: salt and content.
Bytes file_blob(std::string_view content, uint8_t salt = 7) {
  Bytes out(kFileSaltBytes + content.size(), salt);
  std::ranges::copy(content, out.begin() + kFileSaltBytes);
  return out;
}
SetAttribute put_file(Target target, const std::string& name, const Bytes& blob) {
  return {std::move(target), std::string(kFilePrefix) + name, FileRef{sha256(blob), blob.size() - kFileSaltBytes}};
}

TEST(Files, ComeWithTheRequestThatNamesThem) {
  Desk desk;
  desk.submit({AddSite{"ams"}});
  const Bytes blob = file_blob("router id 1.2.3.4;"), other = file_blob("x");
  const SetAttribute put = put_file({}, "bird.conf", blob);
  const auto sent = [&](std::vector<Bytes> attachments, bool dry_run = false) {
    return desk.ask(desk.alice, Submit{Desk::sign(desk.request({put})), dry_run, std::move(attachments)});
  };
  EXPECT_EQ(desk.error_of(sent({})).code, Errc::not_found);
  EXPECT_EQ(desk.error_of(sent({blob, other})).code, Errc::usage) << "nobody stores what nothing names";
  EXPECT_TRUE(std::holds_alternative<Reply>(sent({blob}, true)));
  EXPECT_FALSE(desk.disk->get_blob(sha256(blob))) << "a dry run stores nothing";
  EXPECT_TRUE(std::holds_alternative<Reply>(sent({blob})));
  EXPECT_EQ(desk.disk->get_blob(sha256(blob)), blob);
  const Sequence head = desk.disk->head();
  EXPECT_TRUE(std::holds_alternative<Reply>(sent({blob})));
  EXPECT_EQ(desk.disk->head(), head) << "the same content again changes nothing";
  desk.submit({AddOperator{"vera", Role::viewer, {}, test::sign_secret("vera").public_key(),
                           test::box_secret("vera").public_key()}});
  const SessionId vera{test::box_secret("vera").public_key(), 2, false};
  const Request hers = desk.request({put_file({Level::site, "ams"}, "x", other)}, "vera");
  EXPECT_EQ(desk.error_of(desk.ask(vera, Submit{Desk::sign(hers, "vera"), false, {other}})).code, Errc::not_permitted);
  EXPECT_FALSE(desk.disk->get_blob(sha256(other))) << "who may not change anything stores nothing";
  const Body refused = desk.ask(
      desk.alice, Submit{Desk::sign(desk.request({put_file({Level::site, "nowhere"}, "x", other)})), false, {other}});
  EXPECT_EQ(desk.error_of(refused).code, Errc::not_found);
  EXPECT_FALSE(desk.disk->get_blob(sha256(other))) << "nothing is stored for a request that is refused";
  SetAttribute longer = put_file({}, "longer", blob);
  longer.value = FileRef{sha256(blob), blob.size()};
  EXPECT_EQ(desk.error_of(desk.submit({put, longer})).code, Errc::not_found) << "what is stored is of another size";
}

TEST(Files, AreListedWithTheirLevelAndAuthor) {
  Desk desk;
  desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}});
  const Bytes one = file_blob("1"), two = file_blob("22"), three = file_blob("333");
  desk.ask(desk.alice, Submit{Desk::sign(desk.request({put_file({}, "a.conf", one), put_file({}, "b.conf", one),
                                                       put_file({Level::site, "ams"}, "a.conf", two),
                                                       put_file({Level::node, "r1.ams"}, "a.conf", three)})),
                              false, {one, two, three}});
  const auto listed = [&](std::map<std::string, std::string> arguments) {
    const Body body = desk.ask(desk.alice, Query{"level_files", std::move(arguments), {}});
    const auto document = nlohmann::json::parse(std::get<QueryResult>(body).json);
    std::vector<std::string> out;
    for (const auto& item : document["items"]) {
      EXPECT_EQ(item["by"], "alice");
      EXPECT_EQ(item["sequence"], 3);
      out.push_back(fmt::format("{} {} {}", item["scope"].get<std::string>(), item["name"].get<std::string>(),
                                item["bytes"].get<int>()));
    }
    return out;
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(listed({}), (Lines{"global a.conf 1", "global b.conf 1", "site ams a.conf 2", "node r1.ams a.conf 3"}));
  EXPECT_EQ(listed({{"scope", "node r1.ams"}}), (Lines{"node r1.ams a.conf 3", "global b.conf 1"}));
  EXPECT_EQ(listed({{"scope", "node r2.ams"}}), (Lines{"site ams a.conf 2", "global b.conf 1"}));
  EXPECT_EQ(listed({{"scope", "global"}}), (Lines{"global a.conf 1", "global b.conf 1"}));
}

TEST(Files, BuiltInOnesStandBelowTheOthersOfRoutingStyleLoopback) {
  Desk desk;
  desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}});
  const auto built_in = [&](std::map<std::string, std::string> arguments, bool texts = false) {
    const Body body = desk.ask(desk.alice, Query{"level_files", std::move(arguments), {}});
    std::vector<std::string> out;
    const auto document = nlohmann::json::parse(std::get<QueryResult>(body).json);
    for (const auto& item : document["items"]) {
      if (item["scope"] != "built-in") continue;
      out.push_back(item["name"]);
      EXPECT_EQ(item.contains("text"), texts);
      if (!texts) continue;
      EXPECT_EQ(item["text"].get<std::string>().size(), item["bytes"].get<size_t>());
    }
    return out;
  };
  using Names = std::vector<std::string>;
  const Names all{"bird.conf.jinja", "bird_neighbors.conf.jinja", "bird_site-template.conf.jinja", "tlwg.conf.jinja"};
  EXPECT_EQ(built_in({{"scope", "built-in"}}, true), all);
  EXPECT_EQ(built_in({}), Names());
  const Bytes one = file_blob("1");
  const SetAttribute style{{Level::node, "r1.ams"}, "routing_style", "loopback"};
  desk.ask(desk.alice, Submit{Desk::sign(desk.request({style, put_file({Level::node, "r1.ams"}, "bird.conf", one),
                                                       put_file({Level::site, "ams"}, "tlwg.conf.jinja", one)})),
                              false, {one}});
  EXPECT_EQ(built_in({}), all);
  EXPECT_EQ(built_in({{"scope", "node r1.ams"}}), (Names{all[1], all[2]}));
  EXPECT_EQ(built_in({{"scope", "node r2.ams"}}), Names());
}

TEST(Blobs, ANodeFetchesItsConfigurationsAndTheirFiles) {
  test::World world;
  world.must({AddSite{"ams"}, AddNode{"r1.ams"}, AddNode{"r2.ams"}});
  for (const char* node : {"r1.ams", "r2.ams"}) {
    world.enrol(node);
    world.must(SetAttribute{{Level::node, node}, "endpoint", std::string("192.0.2.") + node[1]});
  }
  std::vector<Blob> blobs;
  const auto commit = [&](const std::string& node, const std::string& file) {
    world.must(SetAttribute{{Level::node, node}, "file:" + file, FileRef{sha256(as_bytes(file)), 1}});
    auto candidates = compile_candidates(world.state(), Scope{}, false, test::names_as_content);
    for (const auto& [id, config] : candidates->configs) {
      const auto text = config_text(config);
      blobs.push_back({config_digest(config), Bytes(text.begin(), text.end())});
    }
    for (const auto& [digest, content] : candidates->contents) blobs.push_back({digest, content});
    auto committed = world.commit(Principal::human("alice"), Target{});
    ASSERT_TRUE(committed) << committed.error().message;
  };
  commit("r1.ams", "one.conf");
  commit("r2.ams", "two.conf");
  Desk desk;
  desk.disk = std::make_unique<MemoryEventLog>(world.state().log);
  for (uint64_t i = 0; i < world.entries().size(); ++i) {
    const auto id = decode_entry(world.entries()[i])->body->request.id;
    ASSERT_TRUE(desk.disk->append(Sequence(i), 1, {&world.entries()[i], 1}, {&id, 1}, {}));
  }
  ASSERT_TRUE(desk.disk->put_blobs(blobs));
  desk.restart();
  const auto fetched = [&](const std::string& node, const Digest& digest) {
    const SessionId session{test::box_secret(node).public_key(), 7, false};
    const Body body = desk.ask(session, Fetch{digest});
    if (const auto* chunk = std::get_if<BlobChunk>(&body)) return std::string(as_text(chunk->bytes));
    EXPECT_EQ(desk.error_of(body).code, Errc::not_permitted);
    return std::string("refused");
  };
  const auto one = sha256(as_bytes("one.conf")), two = sha256(as_bytes("two.conf"));
  EXPECT_EQ(fetched("r1.ams", one), "one.conf") << "also before its configuration was asked for";
  EXPECT_EQ(fetched("r1.ams", two), "refused") << "another node's";
  EXPECT_EQ(fetched("r2.ams", two), "two.conf");
  EXPECT_EQ(fetched("r2.ams", one), "refused");
  const auto& versions = desk.controller->state().find_node("r1.ams")->versions;
  EXPECT_TRUE(fetched("r1.ams", versions.back().digest).contains("one.conf"));
  EXPECT_EQ(fetched("r2.ams", versions.back().digest), "refused");
}

/// Its session.
SessionId enrol_node(Desk& desk) {
  desk.submit({AddSite{"ams"}, AddNode{"r1.ams"}});
  const SignSecret token = test::sign_secret("token");
  desk.submit({CreateToken{token.public_key(), {Level::node, "r1.ams"}, 1, {}, false}});
  const BoxKey key = test::box_secret("r1.ams").public_key();
  const JoinStatement statement{desk.controller->state().log, "r1.ams", TokenId(1),
                                test::sign_secret("r1.ams").public_key(), key,
                                WireGuardKey{test::box_secret("wg").public_key().bytes}, "host", "machine", {}};
  SignedJoin join{encode_join(statement), {}, {}};
  join.node_signature = test::sign_secret("r1.ams").sign(kJoinDomain, join.statement);
  join.token_signature = token.sign(kJoinDomain, join.statement);
  EXPECT_TRUE(std::holds_alternative<Admitted>(desk.ask(SessionId{key, 77, true}, Join{join})));
  return {key, 78, false};
}

// A disk that refuses once must not make a node forget what nobody has.
TEST(Orphans, AreKeptForANodeOnlyWhenTheyAreDurable) {
  Desk old, desk;
  old.submit({AddSite{"lost"}});
  const EncodedEntry lost = old.disk->read(Sequence(2), 1, 1)->front();
  const SessionId node = enrol_node(desk);

  bool full = true;
  int saves = 0;
  desk.options.save_orphans = [&](ByteView) -> Status {
    ++saves;
    return full ? fail(Errc::io, "the disk is full") : Status();
  };
  desk.options.restored = Restored{1, desk.disk->head()};
  desk.restart();
  ASSERT_TRUE(std::holds_alternative<Reply>(desk.submit({next_epoch(desk)})));
  const Orphans message{1, {lost}};
  for (int i = 0; i < 2; ++i) EXPECT_EQ(desk.error_of(desk.ask(node, message)).code, Errc::io) << i;
  full = false;
  for (int i = 0; i < 2; ++i) {
    const Body kept = desk.ask(node, message);
    ASSERT_TRUE(std::holds_alternative<OrphansKept>(kept)) << i;
    EXPECT_EQ(std::get<OrphansKept>(kept), (OrphansKept{1, Sequence(2)}));
  }
  EXPECT_EQ(saves, 3) << "what is on the disk is not written again";
  const Body told = desk.ask(desk.alice, Query{"orphans", {}, {}});
  const auto items = nlohmann::json::parse(std::get<QueryResult>(told).json)["items"];
  ASSERT_EQ(items.size(), 1u) << items.dump();
  EXPECT_EQ(items[0]["signature"], "good");
}

// A node can make up entries of people whom the log does not know. They get a part of the shelf, and what is not kept
// is not confirmed: a node that has true ones keeps them.
TEST(Orphans, WhatNobodyVouchesForCannotFillTheShelf) {
  Desk desk;
  const SessionId node = enrol_node(desk);
  test::World world;  // the same log, in which other things happened
  std::vector<EncodedEntry> made_up;
  for (int i = 0; i < 2; ++i) {
    const std::string value(kAttributeValueBytesMax, 'x');
    std::vector<Command> commands;
    for (int k = 0; k < 1'200; ++k) commands.push_back(SetAttribute{{}, "a" + std::to_string(k), {value}});
    const Request request = world.request(Principal::human("ghost"), std::move(commands));
    made_up.push_back(world.encode(request, Desk::sign(request, "ghost"), Context{world.now, {}}, {SiteAdded{"x"}}));
    ASSERT_LT(made_up.back().size(), kOrphanBytesMax / 4);
    ASSERT_GT(made_up.back().size(), kOrphanBytesMax / 8);
    world.must(AddSite{"lost" + std::to_string(i)});
  }
  const EncodedEntry lost = world.entries().back();
  desk.options.restored = Restored{1, desk.disk->head()};
  desk.restart();
  ASSERT_TRUE(std::holds_alternative<Reply>(desk.submit({next_epoch(desk)})));

  const Body first = desk.ask(node, Orphans{1, {made_up[0], made_up[1], lost}});
  ASSERT_TRUE(std::holds_alternative<OrphansKept>(first)) << desk.error_of(first).message;
  EXPECT_EQ(std::get<OrphansKept>(first), (OrphansKept{1, Sequence(2)})) << "the second found no room";
  EXPECT_EQ(desk.error_of(desk.ask(node, Orphans{1, {made_up[1], lost}})).code, Errc::exhausted);
  EXPECT_TRUE(std::holds_alternative<OrphansKept>(desk.ask(node, Orphans{1, {lost}})));
  const Body told = desk.ask(desk.alice, Query{"orphans", {}, {}});
  const auto items = nlohmann::json::parse(std::get<QueryResult>(told).json)["items"];
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0]["signature"], "signer unknown");
  EXPECT_EQ(items[1]["signature"], "good") << "there is room left for it";
}

TEST(Optimise, RunsPartByPartAndSaysHowItWent) {
  Desk desk;
  std::vector<unsigned> parts;
  bool broken = false;
  desk.options.optimise_parts = 5;
  desk.options.optimise = [&](unsigned part) -> Status {
    parts.push_back(part);
    if (broken && part == 2) return fail(Errc::exhausted, "the disk is full");
    return {};
  };
  desk.restart();
  const auto ask = [&](const SessionId& who, std::map<std::string, std::string> arguments) {
    return desk.ask(who, Query{"optimise", std::move(arguments), {}});
  };
  desk.submit({AddOperator{"otto",
                           Role::operator_,
                           {},
                           test::sign_secret("otto").public_key(),
                           test::box_secret("otto").public_key()}});
  const SessionId otto{test::box_secret("otto").public_key(), 2, false};
  EXPECT_EQ(desk.error_of(ask(otto, {{"start", "yes"}})).code, Errc::not_permitted);
  EXPECT_TRUE(parts.empty());
  ask(desk.alice, {{"start", "yes"}});
  EXPECT_EQ(parts, (std::vector<unsigned>{0, 1, 2, 3, 4}));
  std::string told = std::get<QueryResult>(ask(desk.alice, {})).json;
  EXPECT_NE(told.find("\"running\":false,\"done\":5,\"total\":5"), std::string::npos) << told;
  broken = true;
  ask(desk.alice, {{"start", "yes"}});
  EXPECT_EQ(parts.size(), 8u) << "it ends where it failed";
  told = std::get<QueryResult>(ask(desk.alice, {})).json;
  EXPECT_NE(told.find("\"running\":false"), std::string::npos) << told;
  EXPECT_NE(told.find("the disk is full"), std::string::npos) << told;
}

// ---- restore_log

test::ArchiveContents backup_of(const MemoryEventLog& log, const std::vector<Digest>& blobs) {
  test::ArchiveContents out;
  out.head = {log.id(), log.head().value(), log.checkpoint()};
  out.entries = *log.read(Sequence(1), SIZE_MAX, SIZE_MAX);
  for (const Digest& digest : blobs) out.blobs.push_back({digest, *log.get_blob(digest)});
  return out;
}

Result<RestoredLog> restored(const test::ArchiveContents& backup, EventLog& into) {
  const Bytes bytes = *test::write_archive(backup);
  auto reader = ArchiveReader::open(test::source_of(bytes));
  if (!reader) return std::unexpected(reader.error());
  return restore_log(
      *reader, into, [](const MeshState&) -> Status { return {}; }, [](uint64_t) {});
}

/// A log with a committed version and an anchor.
struct Backup {
  Desk desk;
  test::ArchiveContents contents;

  Backup() {
    desk.submit(
        {AddSite{"ams"}, AddNode{"r1.ams"},
         SetAttribute{{Level::node, "r1.ams"}, "endpoint", std::string("192.0.2.1:51820")}});
    const Body prepared = desk.ask(desk.alice, Prepare{Target{}, true, false});
    const auto& shown = std::get<Prepared>(prepared);
    EXPECT_TRUE(std::holds_alternative<Reply>(
        desk.submit({Commit{Target{}, shown.sequence, shown.root, true, false}})));
    desk.ask(desk.alice, Query{"state", {}, {}});
    const MeshState& state = desk.controller->state();
    EXPECT_TRUE(std::holds_alternative<Reply>(desk.submit(
        {SignAnchor{state.sequence, state_digest(state), desk.disk->frontier().root()}})));
    desk.submit({AddSite{"lab"}});
    contents = backup_of(*desk.disk, {shown.rows.at(0).digest});
  }
};

TEST(RestoreLog, MakesTheSameLog) {
  Backup backup;
  const MemoryEventLog& from = *backup.desk.disk;
  MemoryEventLog into(from.id());
  auto done = restored(backup.contents, into);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(done->missing.empty());
  EXPECT_EQ(done->blobs, 1u);
  EXPECT_EQ(done->state, backup.desk.controller->state());
  EXPECT_EQ(into.head(), from.head());
  EXPECT_EQ(into.checkpoint(), from.checkpoint());
  EXPECT_EQ(into.frontier(), from.frontier());
  EXPECT_EQ(into.read(Sequence(1), SIZE_MAX, SIZE_MAX), from.read(Sequence(1), SIZE_MAX, SIZE_MAX));
  const Sequence anchor = done->state.anchor->sequence;
  EXPECT_EQ(into.snapshots(), (std::vector{anchor, from.head()}));
  EXPECT_EQ(into.get_snapshot(anchor), from.get_snapshot(anchor));
}

TEST(RestoreLog, TellsWhatABackupLacks) {
  Backup backup;
  backup.contents.blobs.clear();
  MemoryEventLog into(backup.desk.disk->id());
  auto done = restored(backup.contents, into);
  ASSERT_TRUE(done);
  ASSERT_EQ(done->missing.size(), 1u);
  EXPECT_TRUE(done->missing[0].starts_with("v1 of node 11 from #3 (")) << done->missing[0];
}

TEST(RestoreLog, TellsWhichFilesABackupLacks) {
  Desk desk;
  const Bytes blob = file_blob("content");
  desk.ask(desk.alice, Submit{Desk::sign(desk.request({put_file({}, "a.conf", blob)})), false, {blob}});
  for (const bool there : {true, false}) {
    MemoryEventLog into(desk.disk->id());
    auto done = restored(backup_of(*desk.disk, there ? std::vector{sha256(blob)} : std::vector<Digest>()), into);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(done->missing.size(), there ? 0u : 1u);
    if (!there) {
      EXPECT_TRUE(done->missing[0].starts_with("a.conf from #2 (")) << done->missing[0];
    }
  }
}

TEST(RestoreLog, RefusesWhatDoesNotHold) {
  Backup backup;
  const auto refused = [&](const test::ArchiveContents& contents) {
    MemoryEventLog into(backup.desk.disk->id());
    auto done = restored(contents, into);
    EXPECT_FALSE(done);
    return done ? std::string() : done.error().message;
  };
  auto changed = backup.contents;
  changed.entries[1].body.back() ^= 1;
  EXPECT_TRUE(refused(changed).starts_with("entry 2: ")) << refused(changed);
  auto other_log = backup.contents;
  other_log.head.log.bytes[0] ^= 1;
  EXPECT_NE(refused(other_log).find("another log"), std::string::npos);
  auto shorter = backup.contents;
  shorter.entries.pop_back();
  --shorter.head.entries;
  EXPECT_NE(refused(shorter).find("the checkpoint is at 5, the replica at 4"), std::string::npos)
      << refused(shorter);
  auto forged = backup.contents;
  const size_t line = forged.head.note.rfind(' ') + 10;
  forged.head.note[line] = forged.head.note[line] == 'A' ? 'B' : 'A';
  EXPECT_TRUE(refused(forged).starts_with("the backup's checkpoint: ")) << refused(forged);
  MemoryEventLog full(backup.desk.disk->id());
  ASSERT_TRUE(restored(backup.contents, full));
  EXPECT_EQ(restored(backup.contents, full).error().code, Errc::conflict);
}

}  // namespace
}  // namespace mesh
