// Claim: a diff names exactly the lines that differ, in the unified form. Method: fixed cases.
#include "eventstore/model/text_diff.h"

#include <gtest/gtest.h>

#include <random>

namespace mesh {
namespace {

TEST(TextDiff, OfEqualTextsIsEmpty) { EXPECT_EQ(unified_diff("a", "x\ny\n", "b", "x\ny\n"), ""); }

TEST(TextDiff, ShowsAChangedLineWithItsContext) {
  EXPECT_EQ(unified_diff("a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "b", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(TextDiff, StartsANewHunkWhereLinesAreFarApart) {
  std::string a, b;
  for (int i = 0; i < 30; ++i) {
    a += std::to_string(i) + "\n";
    b += (i == 2 || i == 25 ? "changed" : std::to_string(i)) + "\n";
  }
  std::string diff = unified_diff("a", a, "b", b);
  EXPECT_NE(diff.find("@@ -1,6 +1,6 @@"), std::string::npos) << diff;
  EXPECT_NE(diff.find("@@ -23,7 +23,7 @@"), std::string::npos) << diff;
}

TEST(TextDiff, FromAndToNothing) {
  EXPECT_EQ(unified_diff("a", "", "b", "x\n"), "--- a\n+++ b\n@@ -1,0 +1,1 @@\n+x\n");
  EXPECT_EQ(unified_diff("a", "x\n", "b", ""), "--- a\n+++ b\n@@ -1,1 +1,0 @@\n-x\n");
}

/// Applies a diff whose hunks hold every line (short texts): what it says of both sides.
std::pair<std::string, std::string> sides(const std::string& diff) {
  std::string a, b;
  for (size_t at = 0; at < diff.size();) {
    size_t end = diff.find('\n', at);
    std::string line = diff.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("---") || line.starts_with("+++") || line.starts_with("@@")) continue;
    if (line[0] != '+') a += line.substr(1) + "\n";
    if (line[0] != '-') b += line.substr(1) + "\n";
  }
  return {a, b};
}

TEST(TextDiff, OfRandomTextsTellsBoth) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  auto text = [&] {
    std::string out;
    for (uint64_t i = random() % 7; i > 0; --i) out += std::string(1, static_cast<char>('a' + random() % 3)) + "\n";
    return out;
  };
  for (int i = 0; i < 2'000; ++i) {
    // Both ends differ, so that the context leaves nothing out.
    std::string a = "x\n" + text() + "x\n", b = "y\n" + text() + "y\n";
    std::string diff = unified_diff("a", a, "b", b);
    EXPECT_EQ(sides(diff), std::pair(a, b)) << diff;
  }
}

TEST(TextDiff, OfTextsWithNothingInCommonIsBounded) {
  std::string a, b;
  for (int i = 0; i < 20'000; ++i) {
    a += "a" + std::to_string(i) + "\n";
    b += "b" + std::to_string(i) + "\n";
  }
  EXPECT_TRUE(sides(unified_diff("a", a, "b", b)) == std::pair(a, b));
}

}  // namespace
}  // namespace mesh
