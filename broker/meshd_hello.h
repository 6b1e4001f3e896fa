// A port that tells everybody the same text and hears nothing: how a newcomer that knows only a fingerprint learns the
// controller's public keys. What comes from outside is never read, so there is nothing to parse and nothing to exploit.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "eventstore/model/result.h"

namespace mesh::meshd {

class HelloPort {
 public:
  /// Serves `text` (at most kHelloBytesMax) from a thread of its own. `endpoint`: "tcp://*:7402", "tcp://[::1]:7402".
  /// Errors: usage (malformed), conflict (the port is taken), io.
  static Result<std::unique_ptr<HelloPort>> open(const std::string& endpoint, std::string text);
  /// The port is free on return.
  ~HelloPort();
  HelloPort(const HelloPort&) = delete;
  HelloPort& operator=(const HelloPort&) = delete;

 private:
  HelloPort(int listener, int stop, std::string text);
  void serve() const;

  int listener_, stop_;
  std::string text_;
  std::thread thread_;
};

inline constexpr size_t kHelloBytesMax = 8 * 1024;  // fits the send buffer of a fresh connection

}  // namespace mesh::meshd
