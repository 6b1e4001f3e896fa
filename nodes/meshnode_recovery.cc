#include "nodes/meshnode_recovery.h"

#include <fmt/core.h>

#include <utility>

#include "nodes/meshnode_asking.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr int64_t kCallAgainMs = 15'000;
constexpr size_t kToldMax = 64;

/// Somebody may adopt it, and it is the node that its log names.
bool may_be_adopted(const Node* own, const NodeKeys& keys) {
  return own && own->enrolment == Enrolment::enrolled && own->sign_key == keys.sign.public_key() &&
         !own->recovery_sign.is_zero() && !own->recovery_box.is_zero();
}

}  // namespace

void RecoveryCall::note(std::string text) {
  if (told_.size() < kToldMax && told_.insert(text).second) notes_.push_back(std::move(text));
}

bool RecoveryCall::open(const Node& own, const std::vector<std::string>& addresses) {
  ClientOptions options;
  options.endpoints = controllers(addresses, own.recovery_box);
  options.jitter_seed = random_array<Digest>().bytes[0];
  options.backoff_min_ms = 1'000;
  options.backoff_max_ms = 10'000;
  options.handshake_ms = 10'000;
  options.frame_max = 4 * kAdoptionBytesMax;
  auto bus = BusClient::open(keys_.box, std::move(options));
  if (!bus) {
    note("nobody can be called for recovery: " + bus.error().message);
    return false;
  }
  note("without a controller for long: calling for recovery where it was");
  bus_ = std::move(*bus);
  server_ = own.recovery_box;
  addresses_ = addresses;
  return true;
}

void RecoveryCall::call(const Node& own, int64_t now) {
  const auto wireguard = keys_.tunnels.public_keys();
  if (wireguard.empty()) return note("nobody can be called for recovery: this node has no WireGuard key");
  const auto made = make_join(identity_.log, own.fullname(), TokenId(), keys_.sign, keys_.box,
                              wireguard.begin()->second, nullptr);
  called_ms_ = now;
  nonce_ = made.nonce;
  // What cannot be sent now is sent with the next call.
  (void)bus_->send(encode_message({1, Join{made.join}}));
}

std::optional<TokenText> RecoveryCall::answer(ByteView frame, const Node& own, int64_t now) {
  auto message = decode_message(frame);
  if (!message) {
    note("called for recovery, and the answer is unreadable: " + message.error().message);
    return std::nullopt;
  }
  if (const auto* waits = std::get_if<Waiting>(&message->body)) {
    note("called for recovery; whoever has the secret does not know this node's fingerprint: " + waits->fingerprint);
  } else if (const auto* refused = std::get_if<Refused>(&message->body)) {
    note("called for recovery, and refused: " + refused->error.message);
  } else if (const auto* error = std::get_if<ErrorReply>(&message->body)) {
    note("called for recovery, and refused: " + error->error.message);
  } else if (const auto* document = std::get_if<QueryResult>(&message->body)) {
    const auto nonce = std::exchange(nonce_, Digest());  // one answer for each call
    auto token = check_adoption(document->json, {identity_.log, keys_.sign.public_key(), own.recovery_sign, nonce,
                                                 now - called_ms_});
    if (token) return std::move(*token);
    note(token.error().message);
  }
  return std::nullopt;
}

std::optional<TokenText> RecoveryCall::turn(const Node* own, bool connected, const std::vector<std::string>& addresses,
                                            int64_t now) {
  if (connected || after_ms_ == 0 || !may_be_adopted(own, keys_)) {
    alone_since_.reset();
    bus_.reset();
    if (connected) told_.clear();
    return std::nullopt;
  }
  if (!alone_since_) alone_since_ = now;
  if (now - *alone_since_ < after_ms_ || addresses.empty()) return std::nullopt;
  const bool moved = bus_ && (server_ != own->recovery_box || addresses_ != addresses) && !bus_->connected();
  if (moved) bus_.reset();
  if (!bus_ && !open(*own, addresses)) {
    alone_since_ = now;
    return std::nullopt;
  }
  for (const auto& event : bus_->poll(0)) {
    if (event.kind == ClientEvent::Kind::connected) {
      note("called for recovery: " + event.detail + " has the secret");
      call(*own, now);
    }
    if (event.kind == ClientEvent::Kind::refused) note("called for recovery, and not heard: " + event.detail);
    if (event.kind != ClientEvent::Kind::frame) continue;
    if (auto token = answer(event.frame, *own, now)) return token;
  }
  if (bus_->connected() && now - called_ms_ >= kCallAgainMs) call(*own, now);
  return std::nullopt;
}

}  // namespace mesh
