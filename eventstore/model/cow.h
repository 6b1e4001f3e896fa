// A value that is shared until it is changed: copying a state costs one reference per site and node.
#pragma once

#include <memory>

namespace mesh {

/// Never empty. Copies share; edit() clones when shared. Threads may hold copies of one value while the
/// owner edits its own: a copy is never changed under its holder.
template <class T>
class Cow {
 public:
  Cow() : value_(std::make_shared<T>()) {}
  explicit Cow(T value) : value_(std::make_shared<T>(std::move(value))) {}

  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  T& edit() {
    if (value_.use_count() != 1) value_ = std::make_shared<T>(*value_);
    return *value_;
  }
  bool operator==(const Cow& other) const { return value_ == other.value_ || *value_ == *other.value_; }

 private:
  std::shared_ptr<T> value_;
};

}  // namespace mesh
