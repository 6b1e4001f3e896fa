// Claim: a clock that jumps never makes the time of entries go back, and no entry is refused for it: after a jump
// ahead, time stands still until the clock has caught up. Method: a Desk whose clock is moved both ways, also over a
// restart; the log is then replayed with every check.
#include <algorithm>

#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using test::Desk;

std::vector<Timestamp> times_of(const EventLog& log) {
  std::vector<Timestamp> out;
  Replica replica;
  const auto entries = log.read(Sequence(1), ~size_t{0}, ~size_t{0}).value();
  for (const EncodedEntry& encoded : entries) {
    const auto entry = decode_entry(encoded);
    const Status taken = replay(replica, *entry, log.id());
    EXPECT_TRUE(taken) << (taken ? "" : taken.error().message);
    out.push_back(entry->header.time);
  }
  return out;
}

TEST(Clock, TimeOfEntriesNeverGoesBack) {
  Desk desk;
  constexpr int64_t kYear = 365LL * 86'400 * 1'000'000;
  int64_t number = 0;
  for (const int64_t jump : std::initializer_list<int64_t>{1'000, -4'000'000, 10 * kYear, -10 * kYear, 5, -kYear}) {
    desk.now.wall = Timestamp(desk.now.wall.value() + jump);
    const Body answer = desk.submit({SetAttribute{{}, "note", ++number}});
    ASSERT_TRUE(std::holds_alternative<Reply>(answer)) << desk.error_of(answer).message;
    if (number % 2 == 0) desk.restart();
  }
  const auto times = times_of(*desk.disk);
  ASSERT_EQ(times.size(), 7u);
  EXPECT_TRUE(std::ranges::is_sorted(times));
  EXPECT_EQ(times.back(), times[3]) << "still at the instant of the jump ahead";
  desk.now.wall = Timestamp(times.back().value() + 1);
  (void)desk.submit({SetAttribute{{}, "note", ++number}});
  EXPECT_EQ(times_of(*desk.disk).back(), desk.now.wall) << "the clock has caught up";
}

}  // namespace
}  // namespace mesh
