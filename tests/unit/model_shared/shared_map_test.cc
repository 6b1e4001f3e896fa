// Claim: SharedMap behaves as std::map, ChangeList as a vector that is searched from its front, and
// a copy of either never changes with its original. Method: the same random operations on both,
// with copies taken on the way and compared at the end. The seed is printed.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "eventstore/model/change_list.h"

namespace mesh {
namespace {

constexpr uint32_t kSeeds[] = {1, 2, 3, 4, 5};
constexpr int kSteps = 4'000;

using Shared = SharedMap<int, std::string>;
using Plain = std::map<int, std::string>;

void expect_same(const Shared& shared, const Plain& plain) {
  ASSERT_EQ(shared.size(), plain.size());
  auto it = shared.begin();
  for (const auto& [key, value] : plain) {
    ASSERT_EQ(it->first, key);
    ASSERT_EQ(it->second, value);
    ++it;
  }
  ASSERT_EQ(it, shared.end());
  auto back = shared.rbegin();
  for (auto at = plain.rbegin(); at != plain.rend(); ++at, ++back)
    ASSERT_EQ(back->first, at->first);
}

TEST(SharedMap, BehavesAsAMapAndCopiesStand) {
  for (uint32_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Shared shared;
    Plain plain;
    std::vector<std::pair<Shared, Plain>> copies;
    for (int step = 0; step < kSteps; ++step) {
      int key = static_cast<int>(random() % 600);
      std::string value = std::to_string(random() % 1'000);
      switch (random() % 8) {
        case 0:
        case 1:
          EXPECT_EQ(shared.emplace(key, value), plain.emplace(key, value).second);
          break;
        case 2:
          shared.insert_or_assign(key, value);
          plain.insert_or_assign(key, value);
          break;
        case 3:
          EXPECT_EQ(shared.erase(key), plain.erase(key) == 1);
          break;
        case 4:
          shared[key] += value;
          plain[key] += value;
          break;
        case 5:
          if (std::string* known = shared.edit(key)) *known = value;
          if (plain.contains(key)) plain[key] = value;
          break;
        case 6: {
          auto taken = shared.extract(key);
          ASSERT_EQ(taken.has_value(), plain.contains(key));
          shared.insert(std::move(taken));
          break;
        }
        default: {
          auto it = shared.lower_bound(key);
          auto expected = plain.lower_bound(key);
          ASSERT_EQ(it == shared.end(), expected == plain.end());
          if (expected != plain.end()) {
            ASSERT_EQ(it->first, expected->first);
          }
          ASSERT_EQ(shared.contains(key), plain.contains(key));
        }
      }
      if (step % 500 == 0) copies.emplace_back(shared, plain);
    }
    expect_same(shared, plain);
    for (const auto& [copy, expected] : copies) expect_same(copy, expected);
  }
}

TEST(SharedMap, AscendingKeysKeepTheirOrderOverManyChunks) {
  Shared shared;
  for (int key = 0; key < 10'000; ++key) EXPECT_TRUE(shared.emplace(key, "x"));
  Shared copy = shared;
  EXPECT_EQ(copy, shared);
  shared[9'999] = "y";
  EXPECT_NE(copy, shared);
  EXPECT_EQ(copy.at(9'999), "x");
  int expected = 0;
  for (const auto& [key, value] : shared) EXPECT_EQ(key, expected++);
}

/// What ChangeList stands for.
struct Plainly {
  std::vector<Change> list;
  auto find(const Change& like) {
    return std::ranges::find_if(list, [&](const Change& c) {
      return c.kind == like.kind && c.scope == like.scope && c.name == like.name;
    });
  }
};

Change random_change(std::mt19937& random) {
  Change change;
  change.kind = static_cast<Change::Kind>(1 + random() % 7);
  change.scope = random() % 2
                     ? Scope{Level::site, "s" + std::to_string(random() % 10), {}}
                     : Scope{Level::node, {}, NodeId(11 + static_cast<uint32_t>(random() % 10))};
  change.name = "name" + std::to_string(random() % 20);
  change.sequence = Sequence(random());
  return change;
}

TEST(ChangeList, BehavesAsAVectorAndCopiesStand) {
  for (uint32_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    ChangeList changes;
    Plainly plain;
    std::vector<std::pair<ChangeList, std::vector<Change>>> copies;
    for (int step = 0; step < kSteps; ++step) {
      Change change = random_change(random);
      auto known = plain.find(change);
      switch (random() % 16) {
        case 0: {
          Scope to = random_change(random).scope;
          changes.move_scope(change.scope, to);
          for (Change& c : plain.list)
            if (Scope from = change.scope; c.scope == from) c.scope = to;
          break;
        }
        case 1: {
          auto unwanted = [&](const Change& c) {
            return c.scope == change.scope && c.kind == change.kind;
          };
          changes.erase_if(unwanted);
          std::erase_if(plain.list, unwanted);
          break;
        }
        case 2:
        case 3:
          changes.erase(change.kind, change.scope, change.name);
          if (known != plain.list.end()) plain.list.erase(known);
          break;
        case 4: {
          const Change* found = changes.find(change.kind, change.scope, change.name);
          ASSERT_EQ(found != nullptr, known != plain.list.end());
          if (found) {
            ASSERT_EQ(*found, *known);
          }
          break;
        }
        default:
          if (Change* there = changes.edit(change.kind, change.scope, change.name)) {
            ASSERT_NE(known, plain.list.end());
            there->sequence = known->sequence = change.sequence;
          } else {
            ASSERT_EQ(known, plain.list.end());
            changes.push_back(change);
            plain.list.push_back(change);
          }
      }
      if (step % 500 == 0) copies.emplace_back(changes, plain.list);
    }
    copies.emplace_back(changes, plain.list);
    for (const auto& [copy, expected] : copies)
      ASSERT_EQ(std::vector<Change>(copy.begin(), copy.end()), expected);
  }
}

}  // namespace
}  // namespace mesh
