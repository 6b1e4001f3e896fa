// Claim: a survey tells the round-trip time of every link and the exact largest packet that its path carries, also with
// some loss; an outage is not taken for an MTU; what is sent is bounded whatever the number of links, and never comes
// in a burst. Method: paths that carry packets up to a size, with a delay, loss and outages, on a clock of values;
// random paths from printed seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include "nodes/dataplane/path_survey.h"

namespace mesh {
namespace {

constexpr int64_t kSecond = 1'000'000, kTick = kSecond / 4;

struct Line {
  uint16_t carries = 1'420;
  int64_t rtt_us = 20'000;
  unsigned lost_percent = 0;
  bool up = true;
};

/// Links by index, and the loop of the program that asks over them.
class World {
 public:
  explicit World(uint64_t seed = 1, PathSurvey::Options options = {}) : survey(options, seed), random_(seed) {}

  void add(int index, Line line, uint16_t mtu = 1'420) {
    lines[index] = line;
    targets_.push_back({index, IpAddress{.v6 = true, .bytes = {0xfe, 0x80, static_cast<uint8_t>(index)}}, mtu});
    survey.watch(targets_, now);
  }
  void add_many(int count, Line line) {
    for (int index = 1; index <= count; ++index) {
      lines[index] = line;
      targets_.push_back({index, IpAddress{.v6 = true, .bytes = {0xfe, 0x80}}, 1'420});
    }
    survey.watch(targets_, now);
  }
  void set_mtu(int index, uint16_t mtu) {
    std::ranges::find(targets_, index, &PathSurvey::Target::index)->mtu = mtu;
    survey.watch(targets_, now);
  }
  void watch_only(size_t count) {
    targets_.resize(count);
    survey.watch(targets_, now);
  }
  void run(int64_t seconds) {
    for (const int64_t end = now + seconds * kSecond; now < end; now += kTick) tick();
  }
  void tick() {
    for (; !coming_.empty() && coming_.begin()->first <= now; coming_.erase(coming_.begin()))
      survey.answered(coming_.begin()->second);
    const auto packets = survey.due(now);
    most = std::max(most, packets.size());
    sent += packets.size();
    for (const auto& packet : packets) {
      ++sent_over[packet.index];
      const Line& line = lines.at(packet.index);
      if (!line.up || packet.bytes > line.carries || random_() % 100 < line.lost_percent) continue;
      const PathSurvey::Answer answer{packet.index, packet.round, packet.bytes, now, now + line.rtt_us};
      coming_.emplace(answer.at_us, answer);
    }
  }
  PathSurvey::Report report(int index) const { return survey.report(index, now); }

  PathSurvey survey;
  std::map<int, Line> lines;
  std::map<int, size_t> sent_over;
  int64_t now = 1'000 * kSecond;
  size_t sent = 0, most = 0;

 private:
  std::vector<PathSurvey::Target> targets_;
  std::multimap<int64_t, PathSurvey::Answer> coming_;
  std::mt19937_64 random_;
};

TEST(PathSurvey, AGoodPathIsMeasuredWithinTwoRounds) {
  World world;
  world.add(3, {.rtt_us = 31'000});
  EXPECT_EQ(world.report(3).rtt_us, -1);
  EXPECT_EQ(world.report(3).path_mtu, 0);
  world.run(30);
  const auto report = world.report(3);
  EXPECT_EQ(report.rtt_us, 31'000);
  EXPECT_LE(report.rtt_age_us, 13 * kSecond);
  EXPECT_EQ(report.path_mtu, 1'420);
  EXPECT_EQ(world.sent, world.sent_over[3]);
  EXPECT_LE(world.sent, 5u) << "three rounds and a large one, little more";
  EXPECT_EQ(world.report(4).rtt_us, -1) << "unknown";
}

TEST(PathSurvey, TheLargestPacketIsFoundExactlyAlsoWithLoss) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    World world(seed);
    const auto mtu = static_cast<uint16_t>(1'280 + random() % 7'000);
    const auto carries = static_cast<uint16_t>(PathSurvey::kSmallBytes + random() % (mtu + 1'000));
    world.add(1, {.carries = carries, .rtt_us = static_cast<int64_t>(random() % 400'000)}, mtu);
    world.run(180);
    EXPECT_EQ(world.report(1).path_mtu, std::min(carries, mtu));
    // Three large ones lost, and their small ones back: once in 40,000 sizes.
    world.lines[1].lost_percent = 3;
    world.run(1'200);
    EXPECT_EQ(world.report(1).path_mtu, std::min(carries, mtu));
  }
}

TEST(PathSurvey, NothingLargerIsSentThanABufferHolds) {
  World world;
  world.add(1, {.carries = 65'535}, 65'535);
  world.run(600);
  EXPECT_EQ(world.report(1).path_mtu, PathSurvey::kLargestBytes) << "and more is not known";
}

TEST(PathSurvey, AMomentThatNeverWasMeasuresNothing) {
  PathSurvey survey({}, 1);
  const IpAddress to{.v6 = true, .bytes = {0xfe, 0x80}};
  survey.watch({{1, to, 1'420}}, kSecond);
  const auto round = survey.due(60 * kSecond).at(0).round;
  for (const int64_t sent : {std::numeric_limits<int64_t>::min(), int64_t{-1}, 61 * kSecond})
    survey.answered({1, round, PathSurvey::kSmallBytes, sent, 60 * kSecond});
  EXPECT_EQ(survey.report(1, 60 * kSecond).rtt_us, -1);
}

TEST(PathSurvey, AnOutageSaysNothingAboutSizes) {
  World world;
  world.add(1, {});
  world.run(60);
  world.lines[1].up = false;
  world.run(1'000);
  EXPECT_EQ(world.report(1).path_mtu, 1'420);
  EXPECT_GE(world.report(1).path_mtu_age_us, 900 * kSecond);
  EXPECT_GE(world.report(1).rtt_age_us, 980 * kSecond) << "it is told how old the time is";
  world.lines[1] = {.carries = 1'400};
  world.run(120);
  EXPECT_EQ(world.report(1).path_mtu, 1'400) << "looked for as soon as something answers";
  EXPECT_LE(world.report(1).rtt_age_us, 13 * kSecond);
}

TEST(PathSurvey, WhatChangesIsFoundAtTheNextCheck) {
  World world;
  world.add(1, {.carries = 1'300});
  world.run(120);
  EXPECT_EQ(world.report(1).path_mtu, 1'300);
  world.lines[1].carries = 1'500;
  world.run(400);
  EXPECT_EQ(world.report(1).path_mtu, 1'420);
  world.set_mtu(1, 1'380);
  EXPECT_EQ(world.report(1).path_mtu, 0) << "nothing is known of the new one";
  EXPECT_EQ(world.report(1).rtt_us, 20'000);
  world.run(30);
  EXPECT_EQ(world.report(1).path_mtu, 1'380);
  world.watch_only(0);
  EXPECT_EQ(world.report(1).rtt_us, -1);
}

TEST(PathSurvey, AHubAsksNoMoreThanItMay) {
  World world;
  constexpr int kLinks = 3'000;
  world.add_many(kLinks, {});
  world.run(600);
  EXPECT_LE(world.sent, 600u * 75) << "50 rounds a second, and 10 checks of two packets";
  for (int i = 1; i <= kLinks; ++i) {
    ASSERT_GE(world.sent_over[i], 8u) << i;
    ASSERT_EQ(world.report(i).rtt_us, 20'000) << i;
    ASSERT_EQ(world.report(i).path_mtu, 1'420) << i;
  }
  world.most = 0;
  world.now += 3'600 * kSecond;  // asleep, or busy
  world.run(30);
  EXPECT_LE(world.most, 51u) << "what is late does not come at once";
}

TEST(PathSurvey, AHubBehindANarrowLineFindsEveryPath) {
  World world;
  constexpr int kLinks = 3'000;
  world.add_many(kLinks, {.carries = 1'380});
  world.run(6'000);
  EXPECT_LE(world.sent, 6'000u * 90) << "twenty checks at once";
  for (int i = 1; i <= kLinks; ++i) ASSERT_EQ(world.report(i).path_mtu, 1'380) << i;
}

TEST(PathSurvey, RoutersDoNotAskInStep) {
  std::map<int64_t, size_t> begins;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    World world(seed);
    world.add(1, {});
    while (world.sent == 0) world.run(1);
    ++begins[world.now / kSecond];
  }
  EXPECT_GE(begins.size(), 7u) << "of ten seconds";
}

}  // namespace
}  // namespace mesh
