// Which request became which entry, for the newest entries: how a retry finds its reply.
#pragma once

#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

#include "eventstore/model/ids.h"

namespace mesh {

/// Holds the requests of the newest kRequestWindow entries. A value; not thread-safe. Not the RequestWindow of the
/// state: one type name in both would be one symbol for two layouts in every program that links both.
class RequestIndex {
 public:
  /// `sequence` is greater than all before. A zero request answers nobody and is not kept.
  void add(Sequence sequence, const RequestId& request);
  std::optional<Sequence> find(const RequestId& request) const;

 private:
  struct Hash {
    // Ids are random already; who crafts colliding ones slows down a chain of at most
    // kRequestWindow.
    size_t operator()(const RequestId& id) const {
      size_t out;
      std::memcpy(&out, id.bytes.data(), sizeof out);
      return out;
    }
  };
  std::unordered_map<RequestId, Sequence, Hash> by_request_;
  std::deque<std::pair<Sequence, RequestId>> in_order_;
};

/// The first sequence that the window of a log with this head still covers.
Sequence window_begin(Sequence head);

}  // namespace mesh
