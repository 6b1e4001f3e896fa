#include "nodes/dataplane/endpoints.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "nodes/dataplane/files.h"

namespace mesh {

struct Resolver::Shared {
  struct Name {
    bool running = false;
    bool finished = false;  // at least once
    std::vector<IpAddress> addresses;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Name> names;
  std::deque<std::string> waiting;
  int workers = 0;

  void work();
};

namespace {

constexpr int kWorkersMax =
    8;  // names that do not answer keep a thread for up to half a minute each

std::vector<IpAddress> look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  std::vector<IpAddress> out;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return out;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    IpAddress address;
    address.v6 = a->ai_family == AF_INET6;
    if (a->ai_family == AF_INET)
      std::memcpy(address.bytes.data(), &reinterpret_cast<const sockaddr_in*>(a->ai_addr)->sin_addr,
                  4);
    else if (a->ai_family == AF_INET6)
      std::memcpy(address.bytes.data(),
                  &reinterpret_cast<const sockaddr_in6*>(a->ai_addr)->sin6_addr, 16);
    else
      continue;
    out.push_back(address);
  }
  ::freeaddrinfo(found);
  return out;
}

}  // namespace

/// Looks up what waits, and ends when nothing does.
void Resolver::Shared::work() {
  std::unique_lock lock(mutex);
  while (!waiting.empty()) {
    std::string host = std::move(waiting.front());
    waiting.pop_front();
    lock.unlock();
    std::vector<IpAddress> found = look_up(host);
    lock.lock();
    Name& name = names[host];
    name.running = false;
    name.finished = true;
    // An outage of the DNS does not take away what was known.
    if (!found.empty()) name.addresses = std::move(found);
    changed.notify_all();
  }
  --workers;
}

Resolver::Resolver() : shared_(std::make_shared<Shared>()) {}

void Resolver::start(const std::string& host) {
  std::lock_guard lock(shared_->mutex);
  if (std::exchange(shared_->names[host].running, true)) return;
  shared_->waiting.push_back(host);
  if (shared_->workers == kWorkersMax) return;
  ++shared_->workers;
  std::thread([shared = shared_] { shared->work(); }).detach();
}

std::vector<IpAddress> Resolver::get(const std::string& host,
                                     std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(shared_->mutex);
  const Shared::Name& name = shared_->names[host];
  shared_->changed.wait_until(lock, deadline, [&] { return name.finished; });
  return name.addresses;
}

const EndpointMemory::Told* EndpointMemory::find(const std::string& tunnel) {
  load();
  auto it = told_.find(tunnel);
  return it == told_.end() ? nullptr : &it->second;
}

Status EndpointMemory::put(const std::string& tunnel, Told told) {
  load();
  if (auto it = told_.find(tunnel); it != told_.end() && it->second == told) return {};
  told_[tunnel] = std::move(told);
  return save();
}

Status EndpointMemory::forget(const std::string& tunnel) {
  load();
  return told_.erase(tunnel) == 0 ? Status() : save();
}

const std::map<std::string, EndpointMemory::Told>& EndpointMemory::all() {
  load();
  return told_;
}

/// A file that is missing or damaged costs one setting of the endpoints, so it is no error.
void EndpointMemory::load() {
  if (std::exchange(loaded_, true)) return;
  auto text = read_file(file_);
  if (!text) return;
  for (std::string_view left = *text; !left.empty();) {
    std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(line.size() + 1, left.size()));
    size_t first = line.find(' '), second = line.find(' ', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    told_[std::string(line.substr(0, first))] = {
        std::string(line.substr(first + 1, second - first - 1)),
        std::string(line.substr(second + 1))};
  }
}

Status EndpointMemory::save() const {
  std::string text;
  for (const auto& [tunnel, told] : told_)
    text += fmt::format("{} {} {}\n", tunnel, told.asked, told.address);
  return write_file(file_, text, 0644);
}

bool is_literal(const std::string& host) {
  unsigned char space[16];
  return ::inet_pton(AF_INET, host.c_str(), space) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), space) == 1;
}

}  // namespace mesh
