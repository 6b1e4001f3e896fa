// What every poll of this folder can also wait for: other descriptors, and a call from another
// thread.
#pragma once

namespace mesh {

/// A descriptor of the caller's that a poll watches; `readable` is set afresh by every poll.
struct Watched {
  int fd = -1;
  bool readable = false;
};

/// An eventfd. signal() may be called from any thread and any number of times; clear() forgets them
/// all.
class WakeFd {
 public:
  /// Ends the program when the process has no descriptor left: nothing works without it.
  WakeFd();
  ~WakeFd();
  WakeFd(const WakeFd&) = delete;
  WakeFd& operator=(const WakeFd&) = delete;

  int fd() const { return fd_; }
  void signal() const;
  void clear() const;

 private:
  int fd_;
};

}  // namespace mesh
