// Canonical encoding of a state.
//
//   state     = "MESHSTAT" format:u32 flags:u8 intent [ reports ]
//   number    = little-endian, of its width        text, bytes = length:u32 content
//   list, map = count:u32 elements (maps ascending by key)
//   optional  = 0:u8 | 1:u8 value                  fixed-size array = its bytes
//
// One description (`describe`) serves writing and reading, so they cannot drift apart. Fields of
// later rules are added behind `if (state.rules >= N)`, which keeps the digests of older histories.
#include "eventstore/model/canonical.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

constexpr std::string_view kMagic = "MESHSTAT";
constexpr uint32_t kFormat = 1;
constexpr uint8_t kWithReports = 1;

class Writer {
 public:
  static constexpr bool kReads = false;
  Bytes take() { return std::move(out_); }
  bool ok() const { return true; }
  void raw(uint8_t* data, size_t size) { out_.insert(out_.end(), data, data + size); }
  size_t count(size_t size) {
    auto n = static_cast<uint32_t>(size);
    number(n);
    return size;
  }
  template <class T>
  void number(T& value) {
    auto bits = static_cast<uint64_t>(value);
    for (size_t i = 0; i < sizeof(T); ++i) out_.push_back(static_cast<uint8_t>(bits >> (8 * i)));
  }

 private:
  Bytes out_;
};

/// Reading past the end, or a count that cannot be, makes it bad: everything after reads as zero.
class Reader {
 public:
  static constexpr bool kReads = true;
  explicit Reader(ByteView in) : in_(in) {}
  bool ok() const { return ok_; }
  void fail() { ok_ = false; }
  bool at_end() const { return in_.empty(); }
  void raw(uint8_t* data, size_t size) {
    if (!ok_ || in_.size() < size) {
      ok_ = false;
      return;
    }
    std::copy_n(in_.begin(), size, data);
    in_ = in_.subspan(size);
  }
  /// Every element takes at least one byte, so a count above what is left is a lie.
  size_t count(size_t) {
    uint32_t n = 0;
    number(n);
    if (n > in_.size()) ok_ = false;
    return ok_ ? n : 0;
  }
  template <class T>
  void number(T& value) {
    uint8_t bytes[sizeof(T)] = {};
    raw(bytes, sizeof(T));
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof(T); ++i) bits |= static_cast<uint64_t>(bytes[i]) << (8 * i);
    if (std::is_same_v<T, bool> && bits > 1) ok_ = false;
    value = static_cast<T>(bits);
  }

 private:
  ByteView in_;
  bool ok_ = true;
};

template <class Ar, class T>
requires std::is_arithmetic_v<T> || std::is_enum_v<T>
void describe(Ar& ar, T& value) { ar.number(value); }

template <class Ar, class Tag, class Rep>
void describe(Ar& ar, Id<Tag, Rep>& id) {
  Rep value = id.value();
  ar.number(value);
  id = Id<Tag, Rep>(value);
}

template <class Ar, class Tag, size_t N>
void describe(Ar& ar, ByteArray<Tag, N>& array) {
  ar.raw(array.bytes.data(), N);
}

template <class Ar>
void describe(Ar& ar, std::string& text) {
  text.resize(ar.count(text.size()));
  ar.raw(reinterpret_cast<uint8_t*>(text.data()), text.size());
}

// Declared before the containers so that these find them (two-phase lookup through ADL needs
// namespace mesh).
template <class Ar, class T>
void describe(Ar& ar, std::vector<T>& list);
template <class Ar, class T>
void describe(Ar& ar, std::deque<T>& list);
template <class Ar, class T>
void describe(Ar& ar, std::optional<T>& value);
template <class Ar, class K, class V, class C>
void describe(Ar& ar, std::map<K, V, C>& map);
template <class Ar, class K, class V>
void describe(Ar& ar, SharedMap<K, V>& map);
template <class Ar>
void describe(Ar& ar, ChangeList& list);
template <class Ar, class T>
void describe(Ar& ar, Cow<T>& value);
template <class Ar>
void describe(Ar& ar, AttributeValue& value);
template <class Ar>
void describe(Ar& ar, Scalar& value);
template <class Ar>
void describe(Ar& ar, FileRef& v);
template <class Ar>
void describe(Ar& ar, Attribute& v);
template <class Ar>
void describe(Ar& ar, Scope& v);
template <class Ar>
void describe(Ar& ar, CreateLog& v);
template <class Ar>
void describe(Ar& ar, Site& v);
template <class Ar>
void describe(Ar& ar, KeyGeneration& v);
template <class Ar>
void describe(Ar& ar, VersionRecord& v);
template <class Ar>
void describe(Ar& ar, Node& v);
template <class Ar>
void describe(Ar& ar, Operator& v);
template <class Ar>
void describe(Ar& ar, Token& v);
template <class Ar>
void describe(Ar& ar, Change& v);
template <class Ar>
void describe(Ar& ar, Anchor& v);
template <class Ar>
void describe(Ar& ar, Tag& v);
template <class Ar>
void describe(Ar& ar, ActivationRow& v);
template <class Ar>
void describe(Ar& ar, PendingActivation& v);
template <class Ar>
void describe(Ar& ar, ClosedActivation& v);
template <class Ar>
void describe(Ar& ar, NodeReport& v);
template <class Ar>
void describe(Ar& ar, RecentRequests& v);

template <class Ar, class... T>
void all(Ar& ar, T&... fields) {
  (describe(ar, fields), ...);
}

template <class Ar, class List>
void describe_list(Ar& ar, List& list) {
  size_t size = ar.count(list.size());
  if constexpr (Ar::kReads) {
    list.clear();
    for (size_t i = 0; i < size && ar.ok(); ++i) describe(ar, list.emplace_back());
  } else {
    for (auto& element : list) describe(ar, element);
  }
}
template <class Ar, class T>
void describe(Ar& ar, std::vector<T>& list) {
  describe_list(ar, list);
}
template <class Ar, class T>
void describe(Ar& ar, std::deque<T>& list) {
  describe_list(ar, list);
}

template <class Ar, class T>
void describe(Ar& ar, std::optional<T>& value) {
  uint8_t has = value.has_value();
  ar.number(has);
  if constexpr (Ar::kReads) {
    if (has > 1) ar.fail();
    value.reset();
    if (has == 1) value.emplace();
  }
  if (value) describe(ar, *value);
}

template <class Ar, class Map>
void describe_map(Ar& ar, Map& map) {
  size_t size = ar.count(map.size());
  if constexpr (Ar::kReads) {
    map.clear();
    for (size_t i = 0; i < size && ar.ok(); ++i) {
      typename Map::key_type key{};
      typename Map::mapped_type value{};
      all(ar, key, value);
      // Strictly ascending, or the bytes would not be canonical.
      if (!map.empty() && !(map.rbegin()->first < key)) return ar.fail();
      map.emplace(std::move(key), std::move(value));
    }
  } else {
    for (const auto& [key, value] : map) {
      auto copy = key;
      all(ar, copy, const_cast<typename Map::mapped_type&>(value));  // a Writer only reads
    }
  }
}
template <class Ar, class K, class V, class C>
void describe(Ar& ar, std::map<K, V, C>& map) {
  describe_map(ar, map);
}
template <class Ar, class K, class V>
void describe(Ar& ar, SharedMap<K, V>& map) {
  describe_map(ar, map);
}

template <class Ar>
void describe(Ar& ar, ChangeList& list) {
  size_t size = ar.count(list.size());
  if constexpr (Ar::kReads) {
    list.clear();
    for (size_t i = 0; i < size && ar.ok(); ++i) {
      Change change;
      describe(ar, change);
      list.push_back(std::move(change));
    }
  } else {
    for (const Change& change : list) describe(ar, const_cast<Change&>(change));
  }
}

template <class Ar, class T>
void describe(Ar& ar, Cow<T>& value) {
  if constexpr (Ar::kReads)
    describe(ar, value.edit());
  else
    describe(ar, const_cast<T&>(*value));  // a Writer only reads
}

template <class Ar, class Variant, size_t... I>
void describe_variant(Ar& ar, Variant& value, std::index_sequence<I...>) {
  auto index = static_cast<uint8_t>(value.index());
  ar.number(index);
  if constexpr (Ar::kReads) {
    if (index >= sizeof...(I)) return ar.fail();
    ((index == I ? static_cast<void>(value.template emplace<I>()) : static_cast<void>(0)), ...);
  }
  ((index == I ? describe(ar, std::get<I>(value)) : static_cast<void>(0)), ...);
}
template <class Ar>
void describe(Ar& ar, Scalar& value) {
  describe_variant(ar, value, std::make_index_sequence<std::variant_size_v<Scalar>>());
}
template <class Ar>
void describe(Ar& ar, AttributeValue& value) {
  describe_variant(ar, value.data, std::make_index_sequence<std::variant_size_v<decltype(value.data)>>());
}

template <class Ar>
void describe(Ar& ar, FileRef& v) {
  all(ar, v.digest, v.size);
}

template <class Ar>
void describe(Ar& ar, Attribute& v) {
  all(ar, v.value, v.sequence);
}
template <class Ar>
void describe(Ar& ar, Scope& v) {
  all(ar, v.level, v.site, v.node);
}
template <class Ar>
void describe(Ar& ar, Site& v) {
  all(ar, v.name, v.attributes, v.added);
}
template <class Ar>
void describe(Ar& ar, KeyGeneration& v) {
  all(ar, v.generation, v.key);
}
template <class Ar>
void describe(Ar& ar, VersionRecord& v) {
  all(ar, v.version, v.digest, v.sequence);
}
template <class Ar>
void describe(Ar& ar, Anchor& v) {
  all(ar, v.sequence, v.state_digest, v.root, v.by);
}
template <class Ar>
void describe(Ar& ar, CreateLog& v) {
  all(ar, v.log_key, v.controller_key, v.recovery_key, v.admin, v.admin_sign_key, v.admin_box_key,
      v.endpoints, v.enrol_endpoints, v.profile, v.loopbacknet_ipv4, v.loopbacknet_ipv6,
      v.transfernet_ipv4, v.transfernet_ipv6, v.bgp_as_base, v.nonce);
}
template <class Ar>
void describe(Ar& ar, Node& v) {
  all(ar, v.id, v.name, v.site, v.attributes, v.added, v.enrolment, v.enrolled_at, v.sign_key,
      v.box_key, v.keys, v.hostname, v.machine, v.versions, v.active, v.activation);
}
template <class Ar>
void describe(Ar& ar, Operator& v) {
  all(ar, v.name, v.role, v.sites, v.sign_key, v.box_key, v.banned, v.added);
}
template <class Ar>
void describe(Ar& ar, Token& v) {
  all(ar, v.id, v.key, v.scope, v.uses_left, v.expires, v.approve, v.state, v.by, v.created);
}
template <class Ar>
void describe(Ar& ar, Change& v) {
  all(ar, v.kind, v.scope, v.name, v.before, v.by, v.sequence);
}
template <class Ar>
void describe(Ar& ar, Tag& v) {
  all(ar, v.sequence, v.by, v.added);
}
template <class Ar>
void describe(Ar& ar, ActivationRow& v) {
  all(ar, v.node, v.from, v.to);
}
template <class Ar>
void describe(Ar& ar, PendingActivation& v) {
  all(ar, v.id, v.rows, v.started, v.deadline, v.seconds, v.extensions, v.health, v.for_s, v.by);
}
template <class Ar>
void describe(Ar& ar, ClosedActivation& v) {
  all(ar, v.id, v.how, v.sequence);
}
template <class Ar>
void describe(Ar& ar, NodeReport& v) {
  all(ar, v.serial, v.kind, v.activation, v.version, v.message, v.time, v.sequence);
}

/// The sequences stand in the order of their requests; the map is rebuilt from both.
template <class Ar>
void describe(Ar& ar, RecentRequests& v) {
  describe(ar, v.order);
  for (const RequestId& id : v.order) {
    if (!ar.ok()) return;
    Sequence sequence;
    if constexpr (!Ar::kReads) sequence = v.entries.at(id);
    describe(ar, sequence);
    if constexpr (Ar::kReads) v.entries.emplace(id, sequence);
  }
}

/// Of nodes that have one, ascending; apart from the nodes, whose form older rules pin.
template <class Ar>
void describe_recovery(Ar& ar, MeshState& s) {
  std::map<NodeId, std::pair<SignKey, BoxKey>> keys;
  if constexpr (!Ar::kReads) {
    for (const auto* nodes : {&s.nodes, &s.removed_nodes})
      for (const auto& [id, node] : *nodes)
        if (!node->recovery_sign.is_zero()) keys[id] = {node->recovery_sign, node->recovery_box};
  }
  size_t size = ar.count(keys.size());
  auto at = keys.begin();
  NodeId last;
  for (size_t i = 0; i < size && ar.ok(); ++i) {
    NodeId id;
    SignKey sign;
    BoxKey box;
    if constexpr (!Ar::kReads) {
      id = at->first;
      std::tie(sign, box) = (at++)->second;
    }
    all(ar, id, sign, box);
    if constexpr (Ar::kReads) {
      Cow<Node>* node = s.nodes.edit(id);
      if (!node) node = s.removed_nodes.edit(id);
      if (!node || !(last < id) || sign.is_zero()) return ar.fail();
      node->edit().recovery_sign = sign;
      node->edit().recovery_box = box;
      last = id;
    }
  }
}

template <class Ar>
void describe_intent(Ar& ar, MeshState& s) {
  all(ar, s.log, s.epoch, s.rules, s.genesis, s.sequence, s.intent_sequence,
      s.configuration_sequence, s.time, s.next_node, s.next_activation, s.next_token, s.global,
      s.sites, s.nodes, s.removed_nodes, s.removed_sites, s.operators, s.tokens, s.rejected,
      s.changes, s.anchor, s.window);
  if (s.rules >= 2) all(ar, s.genesis.rules, s.version_floor, s.tags);
  if (s.rules >= 3) all(ar, s.pending, s.closed, s.endpoints, s.enrol_endpoints);
  if (s.rules >= 4) describe_recovery(ar, s);
}

/// Enumerations come as numbers: a value without a name would be a state that evolve cannot make.
bool enumerations_valid(const MeshState& state) {
  auto in = [](auto value, int low, int high) {
    return static_cast<int>(value) >= low && static_cast<int>(value) <= high;
  };
  for (const auto& nodes : {&state.nodes, &state.removed_nodes})
    for (const auto& [id, node] : *nodes)
      if (!in(node->enrolment, 0, 2)) return false;
  for (const auto& [name, person] : state.operators)
    if (!in(person.role, 1, 3)) return false;
  for (const auto& [id, token] : state.tokens)
    if (!in(token.state, 1, 4) || !in(token.scope.level, 1, 3)) return false;
  for (const Change& change : state.changes)
    if (!in(change.kind, 1, 7) || !in(change.scope.level, 1, 3)) return false;
  for (const auto& [id, report] : state.reports)
    if (!in(report.kind, 1, 5)) return false;
  for (const ClosedActivation& closed : state.closed)
    if (!in(closed.how, 1, 4)) return false;
  return true;
}

}  // namespace

Bytes encode_state(const MeshState& state, bool with_reports) {
  Writer ar;
  // A Writer only reads, but shares its description with the Reader, which writes.
  auto& s = const_cast<MeshState&>(state);
  std::string magic(kMagic);
  ar.raw(reinterpret_cast<uint8_t*>(magic.data()), magic.size());
  uint32_t format = kFormat;
  uint8_t flags = with_reports ? kWithReports : 0;
  all(ar, format, flags);
  describe_intent(ar, s);
  if (with_reports) describe(ar, s.reports);
  return ar.take();
}

Result<MeshState> decode_state(ByteView bytes) {
  Reader ar(bytes);
  std::string magic(kMagic.size(), '\0');
  ar.raw(reinterpret_cast<uint8_t*>(magic.data()), magic.size());
  uint32_t format = 0;
  uint8_t flags = 0;
  all(ar, format, flags);
  if (!ar.ok() || magic != kMagic) return fail(Errc::corrupt, "this is not a state");
  if (format != kFormat || flags > kWithReports)
    return fail(Errc::unsupported,
                fmt::format("state format {} is unknown, this program knows {}", format, kFormat),
                "upgrade this program");
  MeshState state;
  describe_intent(ar, state);
  if (flags & kWithReports) describe(ar, state.reports);
  if (!ar.ok()) return fail(Errc::corrupt, "the state is truncated or not canonical");
  if (!ar.at_end()) return fail(Errc::corrupt, "the state has bytes after its end");
  if (state.rules > kRulesNewest)
    return fail(
        Errc::unsupported,
        fmt::format("the state has rules {}, this program knows {}", state.rules, kRulesNewest),
        "upgrade this program");
  if (!enumerations_valid(state)) return fail(Errc::corrupt, "the state holds an unknown value");
  if (auto problem = check_invariants(state); !problem.empty())
    return fail(Errc::corrupt, "the state is inconsistent: " + problem);
  return state;
}

Digest state_digest(const MeshState& state) { return sha256(encode_state(state, false)); }

}  // namespace mesh
