#include "eventstore/model/intent_digest.h"

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/json_text.h"

namespace mesh {

namespace {

/// Every part with its length before it, so that no two intents give the same bytes.
class Hashed {
 public:
  Hashed() { text("meshlog/intent/1"); }

  void number(uint64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
    hash_.add(ByteView(bytes, 8));
  }
  void text(std::string_view value) {
    number(value.size());
    hash_.add(as_bytes(value));
  }
  void attributes(const Attributes& values) {
    number(values.size());
    for (const auto& [name, attribute] : values) {
      text(name);
      number(attribute.value.data.index());
      text(to_text(attribute.value));
    }
  }
  void node(const Node& node) {
    number(node.id.value());
    text(node.fullname());
    attributes(node.attributes);
  }
  void site(const MeshState& state, const Site& site) {
    text(site.name);
    attributes(site.attributes);
    const auto nodes = state.nodes_of(site.name);
    number(nodes.size());
    for (const Node* each : nodes) node(*each);
  }
  Digest finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
};

}  // namespace

Digest intent_digest(const MeshState& state, const Scope& scope) {
  Hashed out;
  out.number(static_cast<uint64_t>(scope.level));
  switch (scope.level) {
    case Level::global:
      out.attributes(state.global);
      out.number(state.sites.size());
      for (const auto& [name, site] : state.sites) {
        out.text(name);
        out.attributes(site->attributes);
      }
      out.number(state.nodes.size());
      for (const auto& [id, node] : state.nodes) out.node(*node);
      break;
    case Level::site:
      if (const Site* site = state.find_site(scope.site)) out.site(state, *site);
      break;
    case Level::node:
      if (const Node* node = state.find_node(scope.node)) out.node(*node);
      break;
  }
  return out.finish();
}

}  // namespace mesh
