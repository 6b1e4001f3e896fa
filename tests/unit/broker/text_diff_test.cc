// Claim: a diff names exactly the lines that differ, in the unified form. Method: fixed cases.
#include "broker/text_diff.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mesh
