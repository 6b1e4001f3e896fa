// Internal to this folder's .cc files: reads JSON members without trusting them.
#pragma once

#include <fmt/core.h>

#include <concepts>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

using Json = nlohmann::json;

/// Reads members; the first that is missing or wrong is kept as the error, and the rest reads as empty.
class Reader {
 public:
  explicit Reader(const Json& json, std::string where = {}) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) complain("an object");
  }

  template <std::unsigned_integral T>
  void get(const char* name, T& out) {
    const auto* member = find(name);
    const bool fits = member && member->is_number_unsigned() &&
                      member->template get<uint64_t>() <= std::numeric_limits<T>::max();
    if (fits) {
      out = member->template get<T>();
    } else {
      complain(name);
    }
  }
  void get(const char* name, bool& out) {
    const auto* member = find(name);
    if (!member || !member->is_boolean()) return complain(name);
    out = member->get<bool>();
  }
  void get(const char* name, std::string& out) {
    const auto* member = find(name);
    if (!member || !member->is_string()) return complain(name);
    out = member->get<std::string>();
  }
  template <class Tag, class Rep>
  void get(const char* name, Id<Tag, Rep>& out) {
    Rep value{};
    get(name, value);
    out = Id<Tag, Rep>(value);
  }
  void get(const char* name, IpAddress& out) {
    std::string text;
    get(name, text);
    auto address = parse_address(text);
    if (!address) return complain(name);
    out = *address;
  }
  template <class Tag, size_t N>
  void get(const char* name, ByteArray<Tag, N>& out) {
    std::string text;
    get(name, text);
    auto bytes = array_from_hex<ByteArray<Tag, N>>(text);
    if (!bytes) return complain(name);
    out = *bytes;
  }
  void get(const char* name, std::vector<IpPrefix>& out) {
    each(name, [&](const Json& item) {
      auto prefix = item.is_string() ? parse_prefix(item.get<std::string>()) : fail(Errc::corrupt, "not a text");
      if (!prefix) return complain(name);
      out.push_back(*prefix);
    });
  }
  void get(const char* name, std::vector<uint32_t>& out) {
    each(name, [&](const Json& item) {
      if (!item.is_number_unsigned() || item.get<uint64_t>() > UINT32_MAX) return complain(name);
      out.push_back(item.get<uint32_t>());
    });
  }
  void get(const char* name, std::vector<std::string>& out) {
    each(name, [&](const Json& item) {
      if (!item.is_string()) return complain(name);
      out.push_back(item.get<std::string>());
    });
  }
  void get(const char* name, std::map<std::string, std::string>& out) {
    const auto* member = find(name);
    if (!member || !member->is_object()) return complain(name);
    for (const auto& [key, value] : member->items()) {
      if (!value.is_string()) return complain(name);
      out[key] = value.get<std::string>();
    }
  }
  /// Calls `read` with each item of an array.
  template <class Read>
  void each(const char* name, Read read) {
    const auto* member = find(name);
    if (!member || !member->is_array()) return complain(name);
    for (const auto& item : *member) read(item);
  }
  /// A member that may be absent; nullptr then.
  const Json* optional(const char* name) const { return find(name); }
  void adopt(const Reader& inner) {
    if (error_.empty()) error_ = inner.error_;
  }
  Status status() const {
    if (error_.empty()) return {};
    return fail(Errc::corrupt, error_);
  }

 private:
  const Json* find(const char* name) const {
    if (!json_.is_object()) return nullptr;
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  void complain(std::string_view name) {
    if (error_.empty()) error_ = fmt::format("{}{} is missing or wrong", where_, name);
  }
  const Json& json_;
  std::string where_, error_;
};

}  // namespace mesh
