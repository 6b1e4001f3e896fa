#include "broker/bus/wake.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "eventstore/model/result.h"

namespace mesh {

WakeFd::WakeFd() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { MESH_ASSERT(fd_ >= 0); }
WakeFd::~WakeFd() { ::close(fd_); }

void WakeFd::signal() const {
  // Fails only when the counter is full: then the wake-up is already on its way.
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(fd_, &one, sizeof one);
}

void WakeFd::clear() const {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t n = ::read(fd_, &count, sizeof count);
}

}  // namespace mesh
