#include "broker/text_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace mesh {

namespace {

constexpr size_t kContext = 3;

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

struct Step {
  char mark;  // ' ', '-', '+'
  std::string_view line;
};

/// Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): the greedy forward pass, then
/// back.
std::vector<Step> shortest_edit(const std::vector<std::string_view>& a,
                                const std::vector<std::string_view>& b) {
  auto n = static_cast<long>(a.size()), m = static_cast<long>(b.size());
  long bound = n + m;
  std::vector<long> reach(static_cast<size_t>(2 * bound + 3), 0);
  auto at = [&](std::vector<long>& v, long k) -> long& {
    return v[static_cast<size_t>(k + bound + 1)];
  };
  std::vector<std::vector<long>> trace;
  for (long d = 0; d <= bound; ++d) {
    trace.push_back(reach);
    for (long k = -d; k <= d; k += 2) {
      bool down = k == -d || (k != d && at(reach, k - 1) < at(reach, k + 1));
      long x = down ? at(reach, k + 1) : at(reach, k - 1) + 1;
      long y = x - k;
      while (x < n && y < m && a[static_cast<size_t>(x)] == b[static_cast<size_t>(y)]) ++x, ++y;
      at(reach, k) = x;
      if (x < n || y < m) continue;
      std::vector<Step> steps;
      for (long back = d; back >= 0; --back) {
        std::vector<long>& v = trace[static_cast<size_t>(back)];
        long diagonal = x - y;
        bool from_above =
            diagonal == -back || (diagonal != back && at(v, diagonal - 1) < at(v, diagonal + 1));
        long from_k = from_above ? diagonal + 1 : diagonal - 1;
        long from_x = back == 0 ? 0 : at(v, from_k), from_y = back == 0 ? 0 : from_x - from_k;
        while (x > from_x && y > from_y)
          --x, --y, steps.push_back({' ', a[static_cast<size_t>(x)]});
        if (back == 0) break;
        if (from_above)
          steps.push_back({'+', b[static_cast<size_t>(--y)]});
        else
          steps.push_back({'-', a[static_cast<size_t>(--x)]});
      }
      std::reverse(steps.begin(), steps.end());
      return steps;
    }
  }
  return {};
}

}  // namespace

std::string unified_diff(std::string_view name_a, std::string_view a, std::string_view name_b,
                         std::string_view b) {
  if (a == b) return {};
  auto steps = shortest_edit(split_lines(a), split_lines(b));
  std::string out = fmt::format("--- {}\n+++ {}\n", name_a, name_b);
  size_t line_a = 1, line_b = 1;
  for (size_t i = 0; i < steps.size();) {
    // The next hunk: from kContext before a change to where more than 2 * kContext lines are equal.
    size_t change = i;
    while (change < steps.size() && steps[change].mark == ' ') ++change;
    if (change == steps.size()) break;
    size_t begin = change - std::min(kContext, change - i);
    line_a += begin - i, line_b += begin - i;
    size_t end = change, equal = 0;
    while (end < steps.size() && equal <= 2 * kContext)
      equal = steps[end++].mark == ' ' ? equal + 1 : 0;
    if (equal > kContext) end -= equal - kContext;
    size_t count_a = 0, count_b = 0;
    std::string body;
    for (size_t j = begin; j < end; ++j) {
      count_a += steps[j].mark != '+';
      count_b += steps[j].mark != '-';
      body += steps[j].mark;
      body += steps[j].line;
      body += '\n';
    }
    out += fmt::format("@@ -{},{} +{},{} @@\n{}", line_a, count_a, line_b, count_b, body);
    line_a += count_a, line_b += count_b;
    i = end;
  }
  return out;
}

}  // namespace mesh
