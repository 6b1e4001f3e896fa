// Claim: what a ReplicaStore said is stored is there after a crash at any step, a torn or damaged tail loses only what
// the controller can send again, and a full disk never leaves a half version.
// Method: the store works on a simulated disk that dies at each of its changes in turn, loses unsynced names, runs full
// or is damaged byte by byte; the same calls run on a real directory.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "eventstore/model/compile.h"
#include "nodes/replica/config_file.h"
#include "nodes/replica/replica_store.h"
#include "schemas/config_text.h"
#include "written_log.h"

namespace mesh::test {
namespace {

struct TemporaryDirectory {
  TemporaryDirectory() {
    char name[] = "/tmp/meshnode-store-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

std::string config_of(const WrittenLog& log) { return config_text(compile(log.state(), NodeId(11)).value()); }

TEST(ReplicaStore, GivesBackWhatItStored) {
  WrittenLog log(2);
  TemporaryDirectory directory;
  PosixFiles files(directory.path);
  const auto text = config_of(log);
  {
    ReplicaStore store(files);
    ASSERT_TRUE(store.open());
    ASSERT_EQ(store.load().value().replica, Replica{});
    ASSERT_TRUE(store.append(log.entries()));
    ASSERT_TRUE(store.save_checkpoint(log.note(log.size())));
    ASSERT_TRUE(store.put_version(Version(1), text, {{"bird.conf", "x"}}));
    ASSERT_TRUE(store.put_version(Version(2), text, {}));
    ASSERT_TRUE(store.set_pending(Version(1)));
    ASSERT_TRUE(store.set_active(Version(1)));
    ASSERT_TRUE(store.set_active(Version(2)));
    ASSERT_TRUE(store.set_pending(Version(1)));
    ASSERT_TRUE(store.refuse_version(Version(3), "because of this"));
    ASSERT_TRUE(store.hold(ActivationId(7), "gone back on the box"));
    ASSERT_TRUE(store.save_overlay(make_overlay(log.state(), NodeId(11))));
  }
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  EXPECT_TRUE(store.problems().empty());
  const auto loaded = store.load().value();
  EXPECT_EQ(loaded.replica, log.at(log.size()));
  EXPECT_EQ(loaded.checkpoint, log.note(log.size()));
  EXPECT_TRUE(loaded.problems.empty());
  EXPECT_EQ(config_text(store.get_version(Version(1)).value()), text);
  EXPECT_EQ(store.pointers().active, Version(2));
  EXPECT_EQ(store.pointers().previous, Version(1));
  EXPECT_EQ(store.pointers().pending, Version(1));
  EXPECT_EQ(store.refused(Version(3)), "because of this");
  EXPECT_EQ(store.pointers().held, ActivationId(7));
  EXPECT_EQ(store.pointers().held_why, "gone back on the box");
  EXPECT_EQ(store.overlay(), make_overlay(log.state(), NodeId(11)));
  EXPECT_EQ(std::filesystem::read_symlink(directory.path / "active"), "versions/v2");
}

TEST(ReplicaStore, ATailThatIsTornAtAnyByteKeepsTheWholeEntries) {
  WrittenLog log(1);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.load());
  std::vector<size_t> ends{0};
  for (const auto& entry : log.entries()) {
    ASSERT_TRUE(store.append({entry}));
    ends.push_back(files.raw("replica/tail")->size());
  }
  const Bytes whole = *files.raw("replica/tail");
  for (size_t size = 0; size <= whole.size(); ++size) {
    files.raw("replica/tail")->assign(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    const auto loaded = store.load().value();
    size_t entries = 0;
    while (entries + 1 < ends.size() && ends[entries + 1] <= size) ++entries;
    ASSERT_EQ(loaded.replica, log.at(entries)) << "cut at " << size;
    ASSERT_TRUE(loaded.problems.empty()) << "a torn end is no damage";
    ASSERT_EQ(files.raw("replica/tail")->size(), ends[entries]);
    // It goes on where it stopped.
    ASSERT_TRUE(store.append({log.entries().begin() + static_cast<ptrdiff_t>(entries), log.entries().end()}));
    ASSERT_EQ(store.load().value().replica, log.at(log.size()));
  }
}

TEST(ReplicaStore, ADamagedByteAnywhereLosesOnlyWhatFollows) {
  WrittenLog log(1);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.load());
  ASSERT_TRUE(store.append(log.entries()));
  const Bytes whole = *files.raw("replica/tail");
  for (size_t i = 0; i < whole.size(); ++i) {
    *files.raw("replica/tail") = whole;
    (*files.raw("replica/tail"))[i] ^= 0x40;
    auto loaded = store.load();
    ASSERT_TRUE(loaded) << loaded.error().message;
    const auto head = loaded->replica.head().value();
    ASSERT_LT(head, log.size()) << "byte " << i;
    ASSERT_EQ(loaded->replica, log.at(head)) << "byte " << i;
  }
}

TEST(ReplicaStore, ADamagedRecordAndADamagedSnapshotAreNamed) {
  WrittenLog log(2);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.load());
  ASSERT_TRUE(store.append(log.entries()));
  files.raw("replica/tail")->at(40) ^= 1;
  auto loaded = store.load().value();
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_NE(loaded.problems[0].find("replica/tail: the record at byte 0 is damaged"), std::string::npos);
  ASSERT_TRUE(store.save_snapshot(log.at(log.size())));
  EXPECT_EQ(store.load().value().replica, log.at(log.size()));
  files.raw("replica/snapshot")->at(100) ^= 1;
  loaded = store.load().value();
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_NE(loaded.problems[0].find("replica/snapshot is damaged"), std::string::npos);
  EXPECT_EQ(loaded.replica, Replica{});
  EXPECT_TRUE(store.load().value().problems.empty()) << "told once, kept aside";
}

TEST(ReplicaStore, RewindsToAnEarlierHead) {
  WrittenLog log(2);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.load());
  ASSERT_TRUE(store.append({log.entries()[0], log.entries()[1]}));
  ASSERT_TRUE(store.save_snapshot(log.at(2)));
  ASSERT_TRUE(store.append({log.entries()[2], log.entries()[3], log.entries()[4]}));
  EXPECT_EQ(store.rewind(Sequence(3)).value(), log.at(3));
  EXPECT_EQ(store.load().value().replica, log.at(3));
}

TEST(ReplicaStore, KeepsTheNewestVersionsAndThoseInUse) {
  WrittenLog log(1);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  const auto text = config_of(log);
  for (uint32_t v = 1; v <= 15; ++v) ASSERT_TRUE(store.put_version(Version(v), text, {}));
  ASSERT_TRUE(store.set_active(Version(1)));
  ASSERT_TRUE(store.prune_versions(Version(3)));
  const auto left = store.list_versions();
  EXPECT_EQ(left.size(), kVersionsKept);
  EXPECT_TRUE(store.has_version(Version(1)));
  EXPECT_FALSE(store.has_version(Version(2)));
  EXPECT_TRUE(store.has_version(Version(3)));
  EXPECT_TRUE(store.has_version(Version(15)));
}

TEST(ReplicaStore, AFlippedBitInASmallFileIsFound) {
  WrittenLog log(1);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.hold(ActivationId(7), "gone back on the box"));
  ASSERT_TRUE(store.refuse_version(Version(3), "because of this"));
  ASSERT_TRUE(store.save_overlay(make_overlay(log.state(), NodeId(11))));
  ASSERT_TRUE(store.acknowledge(0));
  ASSERT_TRUE(store.renumber({}, 12));
  const Overlay overlay = *store.overlay();
  for (const auto* path : {"held", "versions/refused", "overlay.json", "outcomes.json"}) {
    Bytes& bytes = *files.raw(path);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      ReplicaStore other(files);
      ASSERT_TRUE(other.open());
      EXPECT_TRUE(!other.pointers().held || other.pointers().held == ActivationId(7)) << path << " bit " << bit;
      EXPECT_FALSE(other.refused(Version(1)) || other.refused(Version(2))) << path << " bit " << bit;
      EXPECT_TRUE(other.serial() == 0 || other.serial() == 12) << path << " bit " << bit;
      const auto read = other.overlay();
      EXPECT_TRUE(!read || *read == overlay) << path << " bit " << bit;
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    }
  }
}

TEST(ReplicaStore, ADamagedVersionCountsAsMissingAndCanBeStoredAgain) {
  WrittenLog log(1);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  const auto text = config_of(log);
  ASSERT_TRUE(store.put_version(Version(1), text, {}));
  files.raw("versions/v1/config.json")->at(30) ^= 1;
  EXPECT_EQ(store.get_version(Version(1)).error().code, Errc::corrupt);
  ASSERT_TRUE(store.put_version(Version(1), text, {}));
  EXPECT_TRUE(store.get_version(Version(1)));
}

/// Everything a node does with its disk, in the order that it does it. False as soon as one call failed.
struct Life {
  const WrittenLog& log;
  std::string text;
  uint64_t checkpoint = 0, entries = 0;
  Version version{}, active{};

  bool live(ReplicaStore& store) {
    if (!store.open() || !store.load()) return false;
    for (uint64_t i = 1; i <= log.size(); i += 2) {
      if (!store.put_version(Version(static_cast<uint32_t>(i)), text, {{"bird.conf", "b"}})) return false;
      version = Version(static_cast<uint32_t>(i));
      const auto last = std::min<uint64_t>(i + 1, log.size());
      if (!store.append(log.range(i, last, false).entries)) return false;
      entries = last;
      if (!store.save_checkpoint(log.note(last))) return false;
      checkpoint = last;
      if (!store.save_overlay(make_overlay(log.at(last).state, NodeId(11)))) return false;
      if (!store.set_pending(version) || !store.set_active(version)) return false;
      active = version;
      if (i == 3 && !store.save_snapshot(log.at(last))) return false;
    }
    return true;
  }
};

TEST(ReplicaStore, KeepsWhatWaitsAndMakesItActiveWhole) {
  WrittenLog log(1);
  const auto text = config_of(log);
  MemoryFiles files;
  const PendingVersion waiting{ActivationId(7), Version(2),  Version(1), "a boot",
                               123'456'789'012, 600, 3, {NodeId(12), NodeId(15)}};
  {
    ReplicaStore store(files);
    ASSERT_TRUE(store.open());
    for (const uint32_t version : {1, 2}) ASSERT_TRUE(store.put_version(Version(version), text, {}));
    ASSERT_TRUE(store.set_active(Version(1)));
    ASSERT_TRUE(store.set_waiting(waiting));
    for (uint32_t version = 3; version < 40; ++version) ASSERT_TRUE(store.put_version(Version(version), text, {}));
    ASSERT_TRUE(store.prune_versions(Version(39)));
    EXPECT_TRUE(store.has_version(Version(1)) && store.has_version(Version(2))) << "needed to go back, and on";
    EXPECT_FALSE(store.has_version(Version(3)));
  }
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  EXPECT_EQ(store.waiting(), waiting);
  EXPECT_EQ(store.pointers().pending, Version(2));
  EXPECT_FALSE(store.half_confirmed());
  ASSERT_TRUE(store.confirm_waiting());
  ReplicaStore again(files);
  ASSERT_TRUE(again.open());
  EXPECT_FALSE(again.waiting());
  EXPECT_EQ(again.pointers().active, Version(2));
  EXPECT_EQ(again.pointers().previous, Version(1));
  EXPECT_EQ(again.pointers().activation, ActivationId(7));
  EXPECT_EQ(again.pointers().trial, ActivationId(7));
  EXPECT_EQ(again.pointers().stage, TrialStage::over);
  ASSERT_TRUE(again.forget_trial());
  EXPECT_EQ(again.pointers().trial, ActivationId());
}

TEST(ReplicaStore, SurvivesACrashAtEveryStep) {
  WrittenLog log(1);
  const auto text = config_of(log);
  uint64_t steps = 0;
  {
    MemoryFiles files;
    ReplicaStore store(files);
    ASSERT_TRUE((Life{log, text}.live(store)));
    steps = files.changes();
  }
  for (uint64_t step = 1; step <= steps; ++step) {
    for (const bool lucky : {false, true}) {
      MemoryFiles files;
      Life life{log, text};
      {
        ReplicaStore store(files);
        files.die_at(step);
        ASSERT_FALSE(life.live(store));
        files.crash(lucky);
      }
      const auto where = testing::Message() << "step " << step << (lucky ? ", names written early" : "");
      ReplicaStore store(files);
      ASSERT_TRUE(store.open()) << where;
      ASSERT_TRUE(store.problems().empty()) << where << ": " << store.problems()[0];
      const auto loaded = store.load();
      ASSERT_TRUE(loaded) << where << ": " << loaded.error().message;
      ASSERT_TRUE(loaded->problems.empty()) << where << ": " << loaded->problems[0];
      const auto head = loaded->replica.head().value();
      ASSERT_GE(head, life.entries) << where;
      ASSERT_EQ(loaded->replica, log.at(head)) << where;
      if (life.checkpoint > 0) {
        const auto size = parse_checkpoint_text(loaded->checkpoint).value().size;
        ASSERT_GE(size, life.checkpoint) << where;
        ASSERT_LE(size, head) << where;
      }
      ASSERT_GE(store.pointers().active, life.active) << where;
      for (const auto version : store.list_versions()) ASSERT_TRUE(store.get_version(version)) << where;
      ASSERT_TRUE(life.version == Version() || store.has_version(life.version)) << where;
      Life again{log, text};
      ASSERT_TRUE(again.live(store)) << where;
      ASSERT_EQ(store.load().value().replica, log.at(log.size())) << where;
    }
  }
}

TEST(ReplicaStore, AFullDiskLeavesNoHalfAndGoesOnWhenThereIsSpace) {
  WrittenLog log(1);
  const auto text = config_of(log);
  MemoryFiles files;
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.load());
  ASSERT_TRUE(store.append({log.entries()[0]}));
  const auto used = files.raw("replica/tail")->size();
  for (uint64_t space = used; space < used + text.size() + 100; space += 37) {
    files.set_space(space);
    auto stored = store.put_version(Version(1), text, {{"bird.conf", "0123456789012345"}});
    if (!stored) {
      ASSERT_EQ(stored.error().code, Errc::exhausted);
      ASSERT_FALSE(store.has_version(Version(1)));
      ASSERT_FALSE(files.read("versions/v1/config.json"));
      ASSERT_EQ(files.list("versions").value(), std::vector<std::string>{});
    }
    auto appended = store.append({log.entries()[1]});
    if (appended) break;
    ASSERT_EQ(appended.error().code, Errc::exhausted);
  }
  files.set_space(std::nullopt);
  ReplicaStore again(files);
  ASSERT_TRUE(again.open());
  ASSERT_TRUE(again.load().value().problems.empty());
  ASSERT_TRUE(store.append({log.entries()[1]}));
  EXPECT_GE(store.load().value().replica.head(), Sequence(2));
}

TEST(PosixFiles, FilesHaveTheModeThatTheyWereGiven) {
  TemporaryDirectory directory;
  PosixFiles files(directory.path);
  const mode_t before = ::umask(077);
  EXPECT_TRUE(write_atomic(files, "for-all", {}, 0644));
  ::umask(0);
  EXPECT_TRUE(write_atomic(files, "for-us", {}));
  EXPECT_TRUE(files.append("tail", {}));
  ::umask(before);
  const auto mode = [&](const char* name) {
    struct stat info {};
    EXPECT_EQ(::stat((directory.path / name).c_str(), &info), 0);
    return info.st_mode & 07777u;
  };
  EXPECT_EQ(mode("for-all"), 0644u);
  EXPECT_EQ(mode("for-us"), 0600u);
  EXPECT_EQ(mode("tail"), 0600u);
}

TEST(ReplicaStore, AFullFileSystemIsExhausted) {
  TemporaryDirectory directory;
  if (::mount("tmpfs", directory.path.c_str(), "tmpfs", 0, "size=32k") != 0) {
    GTEST_SKIP() << "not permitted to mount a tmpfs here";
  }
  WrittenLog log(1);
  PosixFiles files(directory.path);
  ReplicaStore store(files);
  ASSERT_TRUE(store.open());
  ASSERT_TRUE(store.load());
  Status appended;
  for (int i = 0; i < 1'000 && appended; ++i) appended = store.append(log.entries());
  ASSERT_FALSE(appended);
  EXPECT_EQ(appended.error().code, Errc::exhausted) << appended.error().message;
  EXPECT_FALSE(store.put_version(Version(1), std::string(100'000, 'x'), {}));
  EXPECT_EQ(files.list("versions").value(), std::vector<std::string>{});
  ::umount(directory.path.c_str());
}

TEST(ConfigFile, ReadsBackExactlyWhatWasWritten) {
  WrittenLog log(3);
  for (uint32_t id = 11; id <= 13; ++id) {
    const auto config = compile(log.state(), NodeId(id)).value();
    EXPECT_EQ(parse_config_text(config_text(config)).value(), config);
    auto heals = config;
    heals.drift = DriftPolicy::heal;
    EXPECT_EQ(parse_config_text(config_text(heals)).value(), heals);
  }
  const auto text = config_of(log);
  EXPECT_EQ(parse_config_text(text + " ").error().code, Errc::corrupt);
  EXPECT_EQ(parse_config_text("{}").error().code, Errc::corrupt);
  EXPECT_EQ(parse_config_text("").error().code, Errc::corrupt);
  for (size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(parse_config_text(text.substr(0, size)));
  auto newer = text;
  newer.replace(newer.find("\"rules\": 1"), 10, "\"rules\": 9");
  EXPECT_EQ(parse_config_text(newer).error().code, Errc::unsupported);
}

TEST(ConfigFile, NamesLeadNowhere) {
  WrittenLog log(3);
  const auto config = compile(log.state(), NodeId(11)).value();
  for (const char* name : {"", "..", "../x", "a/b", ".git", "x\nD effective"}) {
    for (auto list : {&NodeConfig::files, &NodeConfig::sources}) {
      auto files = config;
      (files.*list).push_back({name, Digest{}, 1});
      EXPECT_EQ(parse_config_text(config_text(files)).error().code, Errc::corrupt) << name;
    }
  }
  for (const char* name : {"", "..", "../../etc", "a/b"}) {
    auto services = config;
    services.services.push_back({name, "*.conf", "/etc/dnsmasq.d", "check", "reload"});
    EXPECT_EQ(parse_config_text(config_text(services)).error().code, Errc::corrupt) << name;
  }
}

}  // namespace
}  // namespace mesh::test
