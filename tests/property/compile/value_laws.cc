// Claim: what is printed is read back the same: attribute values, addresses, prefixes; and no two
// configurations share a text. Method: rapidcheck.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "eventstore/model/address.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/json_text.h"
#include "tests/property/compile/random_mesh.h"

namespace mesh {
namespace {

using namespace testing;

std::string any_text() {
  return *rc::gen::container<std::string>(rc::gen::weightedOneOf<char>(
      {{5, rc::gen::elementOf(std::string("[]{}\"'\\,: 0123456789truefalsn"))},
       {2, rc::gen::inRange<char>(1, 127)}}));
}

Scalar any_scalar() {
  switch (*rc::gen::inRange(0, 3)) {
    case 0:
      return *rc::gen::arbitrary<bool>();
    case 1:
      return *rc::gen::arbitrary<int64_t>();
    default:
      return any_text();
  }
}

RC_GTEST_PROP(ValueLaws, PrintedValuesAreReadBack, ()) {
  AttributeValue value(any_text());
  if (*rc::gen::arbitrary<bool>()) {
    std::vector<Scalar> items;
    for (int i = *rc::gen::inRange(0, 5); i > 0; --i) items.push_back(any_scalar());
    value = AttributeValue(std::move(items));
  }
  auto again = parse_attribute_value(to_text(value));
  RC_ASSERT(again.has_value());
  RC_ASSERT(*again == value);
}

RC_GTEST_PROP(ValueLaws, AnyTextIsReadOrRefusedWithAReason, ()) {
  std::string text = any_text();
  auto value = parse_attribute_value(text);
  bool good = value ? is_utf8(to_text(*value)) : !value.error().message.empty();
  RC_ASSERT(good);
  parse_host_port(text);
  parse_prefix(text);
  check_attribute_name(text);
}

RC_GTEST_PROP(ValueLaws, AddressesAreReadBack,
              (bool v6, std::array<uint8_t, 16> bytes, uint64_t zeros)) {
  IpAddress address{v6, {}};
  for (unsigned i = 0; i < address.bits() / 8; ++i)
    address.bytes[i] = zeros >> i & 1 ? 0 : bytes[i];
  auto again = parse_address(to_text(address));
  RC_ASSERT(again.has_value());
  RC_ASSERT(*again == address);
}

RC_GTEST_PROP(ValueLaws, NetworksContainTheirAddresses,
              (bool v6, std::array<uint8_t, 16> bytes, uint64_t offset)) {
  IpAddress address{v6, {}};
  for (unsigned i = 0; i < address.bits() / 8; ++i) address.bytes[i] = bytes[i];
  IpPrefix prefix{address, *rc::gen::inRange(0u, address.bits() + 1)};
  RC_ASSERT(*parse_prefix(to_text(prefix)) == prefix);
  RC_ASSERT(prefix.network().contains(address));
  RC_ASSERT(prefix.network().network() == prefix.network());
  RC_ASSERT(prefix.overlaps(prefix.network()));
  unsigned host_bits = address.bits() - prefix.length;
  if (host_bits < 64 && offset >> host_bits == 0)
    RC_ASSERT(prefix.contains(prefix.network().address.plus(offset)));
}

RC_GTEST_PROP(ValueLaws, EditDistanceIsSymmetric, ()) {
  std::string a = any_text(), b = any_text();
  RC_ASSERT(edit_distance(a, b) == edit_distance(b, a));
  RC_ASSERT((edit_distance(a, b) == 0) == (a == b));
  RC_ASSERT(edit_distance(a, b) <= std::max(a.size(), b.size()));
}

RC_GTEST_PROP(ValueLaws, NoTwoConfigurationsShareAText, ()) {
  auto any_config = [] {
    MeshState state = make_state(*rc::gen::container<MeshRecipe>(any_node()));
    return state.nodes.empty() ? NodeConfig{} : *compile(state, state.nodes.begin()->first);
  };
  NodeConfig one = any_config(), other = any_config();
  RC_ASSERT((config_text(one) == config_text(other)) == (one == other));
  RC_ASSERT((config_digest(one) == config_digest(other)) == (one == other));
}

}  // namespace
}  // namespace mesh
