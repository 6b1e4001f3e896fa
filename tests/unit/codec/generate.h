// Random values of everything that is encoded, from a seed: the same seed gives the same values everywhere.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "eventstore/model/entry.h"
#include "eventstore/model/state.h"
#include "schemas/codec.h"
#include "schemas/message.h"

namespace mesh::testing {

/// Values within limits.h, with the lengths at the edges of their ranges more often than chance would have it.
/// Not meaningful to decide(): names refer to nothing.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  uint64_t number() { return random_(); }
  /// 0 to bound - 1.
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool flag() { return below(2) == 1; }
  /// Any value of 64 bits; small ones, 0 and the extremes often.
  uint64_t wide();
  int64_t wide_signed() { return static_cast<int64_t>(wide()); }
  uint32_t narrow() { return static_cast<uint32_t>(wide()); }

  /// Well-formed UTF-8 of at most `max` bytes without control characters.
  std::string line(size_t max);
  std::string prose(size_t max);
  std::string name() { return line(63); }
  Bytes bytes(size_t max);
  template <class Array>
  Array array() {
    Array out;
    if (below(8) != 0)
      for (auto& byte : out.bytes) byte = static_cast<uint8_t>(number());
    return out;
  }
  template <class Make>
  auto list(size_t max, Make make) -> std::vector<decltype(make())> {
    std::vector<decltype(make())> out(below(max + 1));
    for (auto& item : out) item = make();
    return out;
  }

  Target target();
  Scope scope();
  Principal principal();
  AttributeValue value();
  std::vector<VersionRow> version_rows();
  JoinStatement statement();
  SignedJoin join(const JoinStatement& statement);
  MachineStatus machine();
  LinkHealth link_health();
  Outcome outcome();
  SignedOutcome signed_outcome();
  CreateLog create_log();

  /// `kind` is the index in the variant.
  Command command(size_t kind);
  Event event(size_t kind);
  Body body(size_t kind);
  Command command() { return command(below(std::variant_size_v<Command>)); }
  Event event() { return event(below(std::variant_size_v<Event>)); }
  Message message(size_t kind) { return {.correlation = wide(), .body = body(kind)}; }

  Request request();
  /// Of one command.
  Request request(Command command);
  EntryHeader header();
  /// The request is that of signed_request; the signature is random.
  EntryBody entry_body(Request request, std::vector<Event> events);
  TokenText token();

 private:
  std::string text(size_t max, bool prose);

  std::mt19937_64 random_;
};

}  // namespace mesh::testing
