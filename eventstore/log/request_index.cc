#include "eventstore/log/request_index.h"

#include "eventstore/model/limits.h"

namespace mesh {

Sequence window_begin(Sequence head) {
  return head.value() <= kRequestWindow ? Sequence(1) : Sequence(head.value() - kRequestWindow + 1);
}

void RequestIndex::add(Sequence sequence, const RequestId& request) {
  while (!in_order_.empty() && in_order_.front().first < window_begin(sequence)) {
    by_request_.erase(in_order_.front().second);
    in_order_.pop_front();
  }
  if (request.is_zero()) return;
  by_request_.emplace(request, sequence);
  in_order_.emplace_back(sequence, request);
}

std::optional<Sequence> RequestIndex::find(const RequestId& request) const {
  const auto found = by_request_.find(request);
  if (found == by_request_.end()) return std::nullopt;
  return found->second;
}

}  // namespace mesh
