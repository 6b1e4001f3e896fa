#include "tests/crash/cycles/plan.h"

#include <fmt/format.h>

namespace mesh::crash {

namespace {

/// Often enough that most lives come so far: a write happens for each batch, a snapshot for few.
uint64_t occurrences(const std::string& point) {
  if (point == "snapshot") return 12;
  if (point == "backup") return 10;
  if (point == "blobs") return 20;
  if (point == "compact") return 60;
  if (point == "recover") return 30;
  return 100;
}

}  // namespace

Plan Plan::random(std::mt19937_64& random) {
  static constexpr Ending kEndings[] = {Ending::kill,  Ending::power, Ending::point,
                                        Ending::point, Ending::point, Ending::point,
                                        Ending::point, Ending::full_disk, Ending::io_error};
  static constexpr FaultFs::Loss kLosses[] = {FaultFs::Loss::everything, FaultFs::Loss::nothing,
                                              FaultFs::Loss::some, FaultFs::Loss::some};
  Plan out;
  out.ending = kEndings[random() % std::size(kEndings)];
  out.seed = random() % 1'000'000'000;
  out.loss = kLosses[random() % std::size(kLosses)];
  out.delay_us = random() % 60'000;
  out.after = random() % 2 == 0;
  out.power_cut = random() % 3 != 0;
  out.point = kPoints[random() % kPoints.size()];
  out.number = 1 + random() % (out.ending == Ending::point ? occurrences(out.point) : 200);
  return out;
}

std::vector<std::string> Plan::arguments() const {
  return {std::to_string(static_cast<int>(ending)),
          point,
          std::to_string(after),
          std::to_string(power_cut),
          std::to_string(number),
          std::to_string(delay_us),
          std::to_string(static_cast<int>(loss)),
          std::to_string(seed),
          std::to_string(lying_disk)};
}

Plan Plan::parse(const std::vector<std::string>& arguments) {
  Plan out;
  out.ending = static_cast<Ending>(std::stoi(arguments.at(0)));
  out.point = arguments.at(1);
  out.after = arguments.at(2) == "1";
  out.power_cut = arguments.at(3) == "1";
  out.number = std::stoull(arguments.at(4));
  out.delay_us = std::stoull(arguments.at(5));
  out.loss = static_cast<FaultFs::Loss>(std::stoi(arguments.at(6)));
  out.seed = std::stoull(arguments.at(7));
  out.lying_disk = arguments.at(8) == "1";
  return out;
}

std::string Plan::text() const {
  const char* lost = loss == FaultFs::Loss::everything ? ", everything unsynced lost"
                     : loss == FaultFs::Loss::some     ? ", some of the unsynced lost"
                                                       : ", nothing lost";
  switch (ending) {
    case Ending::kill: return fmt::format("SIGKILL after {} us", delay_us);
    case Ending::power: return fmt::format("power cut after {} us{}", delay_us, lost);
    case Ending::full_disk: return fmt::format("disk full from file operation {} on", number);
    case Ending::io_error: return fmt::format("I/O error at file operation {}", number);
    case Ending::point: break;
  }
  return fmt::format("{} {} {}, occurrence {}{}", power_cut ? "power cut" : "SIGKILL",
                     after ? "after" : "before", point, number, power_cut ? lost : "");
}

}  // namespace mesh::crash
