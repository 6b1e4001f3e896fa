// JSON documents as the queries answer them: keys keep the controller's order.
// The readers are lenient: a field that is missing or of another type is empty, 0 or null, so that
// an older or newer controller's document is still shown.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace mesh::cli {

using Json = nlohmann::ordered_json;

std::string text_at(const Json& object, std::string_view key);
int64_t number_at(const Json& object, std::string_view key);
bool flag_at(const Json& object, std::string_view key);
/// null when it is missing.
const Json& value_at(const Json& object, std::string_view key);
/// One line of JSON, with bytes that are not UTF-8 replaced.
std::string json_text(const Json& value);

}  // namespace mesh::cli
