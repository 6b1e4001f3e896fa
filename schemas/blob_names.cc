#include "schemas/blob_names.h"

#include <fmt/format.h>

#include "eventstore/model/attribute_table.h"
#include "schemas/config_text.h"

namespace mesh {

std::vector<BlobName> blobs_of(const Entry& entry) {
  std::vector<BlobName> out;
  if (!entry.body) return out;
  for (const Event& event : entry.body->events) {
    if (const auto* committed = std::get_if<VersionsCommitted>(&event)) {
      for (const VersionRow& row : committed->rows)
        out.push_back({row.digest, fmt::format("v{} of node {}", row.version.value(), row.node.value()), true});
    } else if (const auto* set = std::get_if<AttributeSet>(&event); set && set->value.file()) {
      out.push_back({set->value.file()->digest, std::string(file_of(set->name).value_or(set->name)), false});
    }
  }
  return out;
}

Result<std::vector<BlobName>> blobs_of_config(ByteView text, const std::string& name) {
  std::vector<BlobName> out;
  // Most configurations name none, and reading one costs more than looking for the word.
  const std::string_view words = as_text(text);
  if (words.find("\"files\"") == std::string_view::npos) return out;
  auto config = parse_config_text(words);
  if (!config) return fail_in(name, config.error());
  for (const ConfigFile& file : config->files)
    out.push_back({file.digest, fmt::format("{} of {}", file.name, name), false});
  return out;
}

}  // namespace mesh
