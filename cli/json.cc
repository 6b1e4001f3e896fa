#include "cli/json.h"

#include <nlohmann/json.hpp>

namespace mesh::cli {

const Json& value_at(const Json& object, std::string_view key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(std::string(key));
  return found == object.end() ? kNull : *found;
}

std::string text_at(const Json& object, std::string_view key) {
  const Json& value = value_at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

int64_t number_at(const Json& object, std::string_view key) {
  const Json& value = value_at(object, key);
  return value.is_number() ? value.get<int64_t>() : 0;
}

bool flag_at(const Json& object, std::string_view key) {
  const Json& value = value_at(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mesh::cli
