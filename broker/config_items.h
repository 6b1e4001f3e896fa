// For .cc files only. Differences of configurations as items of an answer, bounded so that the answer
// fits a frame.
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/node_config.h"

namespace mesh::answering {

/// A list that is cut at a length, and how long it would be.
struct CutList {
  static constexpr size_t kMax = 5'000;

  nlohmann::json list = nlohmann::json::array();
  size_t total = 0;
  void add(nlohmann::json item) {
    if (++total <= kMax) list.push_back(std::move(item));
  }
};

/// Items {node, fullname, a, b, effect, changes[], text}; text is a unified diff, file by file. When
/// the texts are too many for one answer, later items come without them and with their first changes.
class ConfigItems {
 public:
  /// The files of a configuration, by name.
  using Texts = std::function<std::map<std::string, std::string>(const NodeConfig&)>;

  /// `a` and `b` name the sides.
  ConfigItems(std::string a, std::string b, Texts a_texts, Texts b_texts)
      : a_(std::move(a)), b_(std::move(b)), a_texts_(std::move(a_texts)), b_texts_(std::move(b_texts)) {}

  /// A side without a configuration is nullptr.
  void add(NodeId node, const std::string& fullname, const NodeConfig* before,
           const NodeConfig* after);
  /// The configurations cannot be told, and why.
  void add_problem(NodeId node, const std::string& fullname, std::vector<std::string> why);

  const CutList& items() const { return items_; }
  /// How many items were shortened.
  size_t shortened() const { return shortened_; }

 private:
  nlohmann::json start(NodeId node, const std::string& fullname) const;
  std::string file_diffs(const std::string& fullname, const NodeConfig* before,
                         const NodeConfig* after) const;

  static constexpr size_t kTextBytesMax = 6 * 1024 * 1024;

  std::string a_, b_;
  Texts a_texts_, b_texts_;
  CutList items_;
  size_t text_left_ = kTextBytesMax, shortened_ = 0;
};

}  // namespace mesh::answering
