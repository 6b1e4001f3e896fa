#include "tests/property/compile/random_mesh.h"

#include <algorithm>
#include <ostream>

#include "eventstore/model/address.h"
#include "tests/unit/compile/states.h"

namespace mesh::testing {

namespace {

AttributeValue list_of(std::vector<std::string> items, bool reversed) {
  if (reversed) std::ranges::reverse(items);
  return AttributeValue(std::vector<Scalar>(items.begin(), items.end()));
}

std::vector<std::string> lans_of(uint32_t id, uint32_t count) {
  std::vector<std::string> out;
  for (uint32_t k = 0; k < count; ++k)
    out.push_back(k % 2 == 0 ? "10." + std::to_string(id % 256) + "." + std::to_string(k) + ".0/24"
                             : "fd00:" + std::to_string(id) + ":" + std::to_string(k) + "::/64");
  return out;
}

std::vector<std::string> groups_of(uint32_t bits) {
  std::vector<std::string> out;
  for (uint32_t k = 0; k < 5; ++k)
    if (bits >> k & 1) out.push_back("g" + std::to_string(k));
  return out;
}

MeshState make(const MeshRecipe& recipes, bool reversed) {
  MeshState state = default_state();
  uint32_t id = 10;
  for (const auto& recipe : recipes) {
    id += 1 + recipe.gap;
    std::string number = std::to_string(id);
    Node& node = add_node(state, id, "r" + number + ".s" + std::to_string(recipe.site));
    std::string host = recipe.v6_endpoint ? "2001:db8::" + number : "r" + number + ".example.net";
    if (recipe.outside_port) host = host_port_text(host, 40'000);
    if (recipe.is_public) node.attributes["endpoint"] = {host, Sequence(2)};
    if (recipe.groups != 0)
      node.attributes["groups"] = {list_of(groups_of(recipe.groups), reversed), Sequence(2)};
    if (recipe.lans != 0)
      node.attributes["lans"] = {list_of(lans_of(id, recipe.lans), reversed), Sequence(2)};
    auto number_attribute = [&](const char* name, int64_t value) {
      node.attributes[name] = {value, Sequence(2)};
    };
    number_attribute("wg_mtu", 1280 + recipe.mtu);
    number_attribute("wg_keepalive", recipe.keepalive);
    number_attribute("bfd_interval_ms", 50 + recipe.bfd);
    number_attribute("uplinks", recipe.uplinks);
    if (recipe.generations == 0) {
      enrol(state, id);
    } else {
      enrol(state, id, {recipe.generations, recipe.generations + 1});
    }
  }
  return state;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const NodeRecipe& r) {
  return out << "{gap " << r.gap << ", site " << r.site << (r.is_public ? ", public" : ", NAT")
             << ", groups " << r.groups << ", lans " << r.lans << ", mtu " << r.mtu
             << ", keepalive " << r.keepalive << ", bfd " << r.bfd << ", uplinks " << r.uplinks
             << ", generations " << r.generations << "}";
}

rc::Gen<NodeRecipe> any_node() {
  using rc::gen::inRange;
  using rc::gen::set;
  return rc::gen::build<NodeRecipe>(
      set(&NodeRecipe::gap, inRange(0u, 4u)), set(&NodeRecipe::site, inRange(0u, 6u)),
      set(&NodeRecipe::is_public, rc::gen::weightedElement<bool>({{2, true}, {1, false}})),
      set(&NodeRecipe::outside_port), set(&NodeRecipe::v6_endpoint),
      set(&NodeRecipe::groups, inRange(0u, 32u)), set(&NodeRecipe::lans, inRange(0u, 4u)),
      set(&NodeRecipe::mtu, inRange(0u, 200u)), set(&NodeRecipe::keepalive, inRange(0u, 60u)),
      set(&NodeRecipe::bfd, inRange(0u, 3u)), set(&NodeRecipe::uplinks, inRange(0u, 4u)),
      set(&NodeRecipe::generations, inRange(0u, 3u)));
}

MeshState make_state(const MeshRecipe& recipe) { return make(recipe, false); }
MeshState make_state_reversed(const MeshRecipe& recipe) { return make(recipe, true); }

}  // namespace mesh::testing
