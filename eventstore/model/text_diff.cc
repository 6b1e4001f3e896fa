#include "eventstore/model/text_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
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

using Lines = std::span<const std::string_view>;

// Memory grows with the square of the differences: here 70 MB. Beyond, two texts have so little in
// common that the one simply takes the place of the other.
constexpr long kDifferencesMax = 3'000;

std::vector<Step> replace_all(Lines a, Lines b) {
  std::vector<Step> steps;
  for (std::string_view line : a) steps.push_back({'-', line});
  for (std::string_view line : b) steps.push_back({'+', line});
  return steps;
}

/// How far each diagonal k in [-reach, reach] came.
class Frontier {
 public:
  explicit Frontier(long reach) : reach_(reach), x_(static_cast<size_t>(2 * reach + 1), 0) {}
  Frontier(const Frontier& wider, long reach)
      : reach_(reach),
        x_(wider.x_.begin() + (wider.reach_ - reach),
           wider.x_.begin() + (wider.reach_ + reach + 1)) {}
  long& operator[](long k) { return x_[static_cast<size_t>(k + reach_)]; }

 private:
  long reach_;
  std::vector<long> x_;
};

/// Walks back from the end: the step of each of `trace`, which was taken before that many edits.
std::vector<Step> walk_back(Lines a, Lines b, std::vector<Frontier>& trace) {
  std::vector<Step> steps;
  auto x = static_cast<long>(a.size()), y = static_cast<long>(b.size());
  for (long back = static_cast<long>(trace.size()) - 1; back >= 0; --back) {
    Frontier& v = trace[static_cast<size_t>(back)];
    const long diagonal = x - y;
    const bool from_above =
        diagonal == -back || (diagonal != back && v[diagonal - 1] < v[diagonal + 1]);
    const long from_k = from_above ? diagonal + 1 : diagonal - 1;
    const long from_x = back == 0 ? 0 : v[from_k], from_y = back == 0 ? 0 : from_x - from_k;
    while (x > from_x && y > from_y) --x, --y, steps.push_back({' ', a[static_cast<size_t>(x)]});
    if (back == 0) break;
    if (from_above)
      steps.push_back({'+', b[static_cast<size_t>(--y)]});
    else
      steps.push_back({'-', a[static_cast<size_t>(--x)]});
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

/// Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): the greedy forward pass, then
/// back.
std::vector<Step> shortest_edit(Lines a, Lines b) {
  if (a.empty() || b.empty()) return replace_all(a, b);
  const auto n = static_cast<long>(a.size()), m = static_cast<long>(b.size());
  const long most = std::min(n + m, kDifferencesMax);
  Frontier reach(most + 1);
  std::vector<Frontier> trace;
  for (long d = 0; d <= most; ++d) {
    trace.emplace_back(reach, std::min(d + 1, most + 1));
    for (long k = -d; k <= d; k += 2) {
      const bool down = k == -d || (k != d && reach[k - 1] < reach[k + 1]);
      long x = down ? reach[k + 1] : reach[k - 1] + 1;
      while (x < n && x - k < m && a[static_cast<size_t>(x)] == b[static_cast<size_t>(x - k)]) ++x;
      reach[k] = x;
      if (x >= n && x - k >= m) return walk_back(a, b, trace);
    }
  }
  return replace_all(a, b);
}

/// Equal lines at both ends cost nothing.
std::vector<Step> edit_steps(Lines a, Lines b) {
  const auto same_start = static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  size_t same_end = 0;
  while (same_end < std::min(a.size(), b.size()) - same_start &&
         a[a.size() - 1 - same_end] == b[b.size() - 1 - same_end])
    ++same_end;
  std::vector<Step> steps;
  for (std::string_view line : a.first(same_start)) steps.push_back({' ', line});
  auto middle = shortest_edit(a.subspan(same_start, a.size() - same_start - same_end),
                              b.subspan(same_start, b.size() - same_start - same_end));
  steps.insert(steps.end(), middle.begin(), middle.end());
  for (std::string_view line : a.last(same_end)) steps.push_back({' ', line});
  return steps;
}

}  // namespace

std::string unified_diff(std::string_view name_a, std::string_view a, std::string_view name_b,
                         std::string_view b) {
  if (a == b) return {};
  const auto lines_a = split_lines(a), lines_b = split_lines(b);
  const auto steps = edit_steps(lines_a, lines_b);
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
