// What a benchmark found: figures with their repetitions, ratios within one repetition, checks.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::bench {

/// What a figure includes; without it a number means nothing.
struct Nature {
  bool durable = false;    // on stable storage before it counts
  bool encrypted = false;  // CURVE
  bool with_signatures = false;
};

inline constexpr Nature kTrusted{true, true, true};  // meshd as it always runs
inline constexpr Nature kRawDisk{true, false, false};
inline constexpr Nature kRawCurve{false, true, false};
inline constexpr Nature kPure{};

struct Target {
  std::string id;  // "T2"
  double bound = 0;
  bool at_most = false;  // else at least
};

/// Not thread-safe. Names are unique within their kind; samples of one name come one per
/// repetition.
class Report {
 public:
  /// Samples until the next call are dropped when `warm_up`.
  void begin_repetition(bool warm_up) { warm_up_ = warm_up; }
  void sample(const std::string& name, std::string_view unit, Nature nature, double value);
  /// Compares two sampled figures, repetition by repetition: only those ran side by side.
  void ratio(const std::string& name, const std::string& of, const std::string& to,
             std::optional<Target> target = {});
  /// What the median of a figure shall be, in the figure's unit.
  void bound(const std::string& figure, Target target) { bounds_[figure] = std::move(target); }
  /// A number that is counted, not repeated.
  void fact(const std::string& name, double value) { facts_[name] = value; }
  /// Something that must hold; a false one fails the benchmark.
  void check(const std::string& name, bool holds);
  bool good() const;

  std::string json(bool quick) const;
  std::string table() const;

 private:
  struct Figure {
    std::string name, unit;
    Nature nature;
    std::vector<double> runs;
  };
  struct Ratio {
    std::string name, of, to;
    std::optional<Target> target;
  };
  const Figure* find(const std::string& name) const;
  std::vector<double> quotients(const Ratio& ratio) const;

  bool warm_up_ = false;
  std::vector<Figure> figures_;
  std::vector<Ratio> ratios_;
  std::map<std::string, Target> bounds_;
  std::map<std::string, double> facts_;
  std::map<std::string, bool> checks_;
};

/// The value below which `share` (0 to 1) of `values` lie; 0 without values.
double quantile(std::vector<double> values, double share);
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

}  // namespace mesh::bench
