#include "cli/times.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>

namespace mesh::cli {

namespace {

/// Reads fixed-width numbers and separators from the front of a text.
class TimeReader {
 public:
  explicit TimeReader(std::string_view text) : rest_(text) {}

  int digits(size_t count) {
    int value = 0;
    if (rest_.size() < count) return fail_here();
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + count, value);
    if (error != std::errc() || end != rest_.data() + count || value < 0) return fail_here();
    rest_.remove_prefix(count);
    return value;
  }
  bool take(std::string_view any_of) {
    if (rest_.empty() || any_of.find(rest_.front()) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void need(std::string_view any_of) {
    if (!take(any_of)) good_ = false;
  }
  /// Digits behind the point as microseconds.
  int64_t fraction_us() {
    int64_t value = 0, scale = 1'000'000;
    if (rest_.empty() || rest_.front() < '0' || rest_.front() > '9') return fail_here();
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      scale /= 10;
      value += scale * (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    return value;
  }
  bool done() const { return rest_.empty(); }
  bool good() const { return good_; }

 private:
  int fail_here() {
    good_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

Result<int64_t> parse_duration_s(std::string_view text) {
  const std::string_view whole = text;
  const auto bad = [&] {
    return fail(Errc::usage, fmt::format("\"{}\" is not a duration", whole),
                "for example 90s, 10m, 24h, 7d or 1h30m");
  };
  int64_t total = 0;
  while (!text.empty()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || number > 1'000'000'000) return bad();
    text.remove_prefix(end - text.data());
    int64_t unit = 1;
    if (!text.empty()) {
      switch (text.front()) {
        case 's':
          unit = 1;
          break;
        case 'm':
          unit = 60;
          break;
        case 'h':
          unit = 3600;
          break;
        case 'd':
          unit = 86400;
          break;
        default:
          return bad();
      }
      text.remove_prefix(1);
    }
    total += number * unit;
  }
  if (whole.empty()) return bad();
  return total;
}

Result<Timestamp> parse_time(std::string_view text, Timestamp now) {
  if (text.starts_with('-')) {
    auto ago_s = parse_duration_s(text.substr(1));
    if (!ago_s) return std::unexpected(std::move(ago_s).error());
    return Timestamp(now.value() - *ago_s * 1'000'000);
  }
  TimeReader read(text);
  std::tm parts{};
  parts.tm_year = read.digits(4) - 1900;
  read.need("-");
  parts.tm_mon = read.digits(2) - 1;
  read.need("-");
  parts.tm_mday = read.digits(2);
  parts.tm_isdst = -1;
  int64_t micros = 0, zone_s = 0;
  bool local = true;
  if (!read.done()) {
    read.need("T t");
    parts.tm_hour = read.digits(2);
    read.need(":");
    parts.tm_min = read.digits(2);
    if (read.take(":")) parts.tm_sec = read.digits(2);
    if (read.take(".")) micros = read.fraction_us();
    if (read.take("Zz")) {
      local = false;
    } else if (!read.done()) {
      const bool west = read.take("-");
      if (!west) read.need("+");
      zone_s = read.digits(2) * 3600;
      read.take(":");
      zone_s += read.digits(2) * 60;
      if (west) zone_s = -zone_s;
      local = false;
    }
  }
  const bool in_range = parts.tm_mon >= 0 && parts.tm_mon < 12 && parts.tm_mday >= 1 &&
                        parts.tm_mday <= 31 && parts.tm_hour < 24 && parts.tm_min < 60 &&
                        parts.tm_sec <= 60;
  if (!read.good() || !read.done() || !in_range)
    return fail(Errc::usage, fmt::format("\"{}\" is not a time", text),
                "for example -2h, 2026-01-02, \"2026-01-02 03:04\" or 2026-01-02T03:04:05Z");
  const int64_t seconds = local ? ::mktime(&parts) : ::timegm(&parts) - zone_s;
  return Timestamp(seconds * 1'000'000 + micros);
}

}  // namespace mesh::cli
