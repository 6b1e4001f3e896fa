#include "nodes/dataplane/path_survey.h"

#include <algorithm>

namespace mesh {
namespace {

constexpr unsigned kTries = 3;
constexpr uint16_t kIpv6Least = 1'280;  // RFC 8200, section 5
// How long a large echo may take beside its small one: slow lines take a tenth of a second for 1,420 bytes.
constexpr int64_t kPatienceLeastUs = 1'000'000, kPatienceMostUs = 2'000'000;

}  // namespace

/// xorshift64*: good enough to keep routers from asking in step.
uint64_t PathSurvey::draw(uint64_t below) {
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return (random_ * 0x2545F4914F6CDD1DULL >> 11) % std::max<uint64_t>(below, 1);
}

int64_t PathSurvey::jittered(int64_t us) {
  return us + static_cast<int64_t>(draw(static_cast<uint64_t>(us) / 5));
}

void PathSurvey::watch(const std::vector<Target>& targets, int64_t now_us) {
  if (targets == targets_) return;
  targets_ = targets;
  const auto fair_us = static_cast<int64_t>(targets.size()) * 1'000'000 / std::max(options_.per_second, 1U);
  interval_us_ = std::max(options_.interval_us, fair_us);
  std::map<int, Path> paths;
  for (const Target& target : targets) {
    auto known = paths_.find(target.index);
    const bool same = known != paths_.end() && known->second.target.to == target.to;
    Path& path = paths[target.index];
    if (same) path = known->second;
    if (!same) path.due_us = now_us + static_cast<int64_t>(draw(static_cast<uint64_t>(interval_us_)));
    if (path.target.mtu != target.mtu) {
      path.large = path.found.path_mtu = 0;
      path.found.path_mtu_age_us = -1;
      path.check_us = now_us;
    }
    path.target = target;
  }
  paths_ = std::move(paths);
  queue_.clear();
  checks_ = 0;
  for (const auto& [index, path] : paths_) {
    queue_.emplace(path.due_us, index);
    checks_ += path.large != 0;
  }
}

std::vector<PathSurvey::Packet> PathSurvey::due(int64_t now_us) {
  std::vector<Packet> out;
  while (!queue_.empty() && queue_.begin()->first <= now_us && out.size() < options_.per_second) {
    const int index = queue_.begin()->second;
    queue_.erase(queue_.begin());
    Path& path = paths_.at(index);
    settle(path, now_us);
    begin_check(path, now_us);
    ++path.round;
    path.small_back = path.large_back = false;
    out.push_back({index, path.target.to, path.round, kSmallBytes});
    if (path.large != 0) out.push_back({index, path.target.to, path.round, path.large});
    path.due_us = now_us + pause(path);
    queue_.emplace(path.due_us, index);
  }
  return out;
}

int64_t PathSurvey::pause(const Path& path) {
  if (path.large == 0) return jittered(interval_us_);
  return std::clamp(4 * path.found.rtt_us, kPatienceLeastUs, kPatienceMostUs);
}

void PathSurvey::begin_check(Path& path, int64_t now_us) {
  if (path.large != 0 || !path.alive || now_us < path.check_us || path.target.mtu <= kSmallBytes) return;
  // Half are for paths of which nothing is known yet: on a hub whose own line is the narrow one, all take long.
  if (checks_ >= (path.found.path_mtu == 0 ? options_.checks : options_.checks / 2)) return;
  ++checks_;
  path.low = kSmallBytes;
  path.large = path.high = std::min(path.target.mtu, kLargestBytes);
  path.tries = 0;
}

/// What the round that ends now has shown.
void PathSurvey::settle(Path& path, int64_t now_us) {
  path.alive = path.small_back || path.large_back;
  if (path.large == 0) return;
  if (!path.alive) {
    // An outage says nothing about sizes. The check begins anew when there are answers again.
    path.large = 0;
    --checks_;
    return;
  }
  if (path.large_back) {
    path.low = path.large;
  } else if (++path.tries < kTries) {
    return;
  } else {
    path.high = static_cast<uint16_t>(path.large - 1);
  }
  path.tries = 0;
  try_next(path, now_us);
}

void PathSurvey::try_next(Path& path, int64_t now_us) {
  if (path.low < path.high) {
    const bool least = path.low < kIpv6Least && path.high >= kIpv6Least;
    path.large = least ? kIpv6Least : static_cast<uint16_t>((path.low + path.high + 1) / 2);
    return;
  }
  path.found.path_mtu = path.low;
  path.found.path_mtu_age_us = now_us;
  // With many links a check every few rounds, as with few.
  path.check_us = now_us + jittered(std::max(options_.mtu_interval_us, 5 * interval_us_));
  path.large = 0;
  --checks_;
}

void PathSurvey::answered(const Answer& answer) {
  auto it = paths_.find(answer.index);
  // The moment of sending was the peer's to change.
  if (it == paths_.end() || answer.sent_us < 0 || answer.at_us < answer.sent_us) return;
  Path& path = it->second;
  const bool current = answer.round == path.round;
  if (answer.bytes == kSmallBytes) {
    path.found.rtt_us = answer.at_us - answer.sent_us;
    path.found.rtt_age_us = answer.at_us;
    path.small_back |= current;
  } else if (current && answer.bytes == path.large && !path.large_back) {
    path.large_back = true;
    queue_.erase({path.due_us, answer.index});
    path.due_us = answer.at_us;
    queue_.emplace(path.due_us, answer.index);
  }
}

PathSurvey::Report PathSurvey::report(int index, int64_t now_us) const {
  auto it = paths_.find(index);
  if (it == paths_.end()) return {};
  Report out = it->second.found;
  for (int64_t* moment : {&out.rtt_age_us, &out.path_mtu_age_us})
    if (*moment >= 0) *moment = std::max<int64_t>(now_us - *moment, 0);
  return out;
}

}  // namespace mesh
