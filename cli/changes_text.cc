#include "cli/changes_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/grammar.h"

namespace mesh::cli {

std::string effect_text(const std::string& effect, bool colour) {
  if (effect == "restart") return paint("restarts", Tone::bad, colour);
  if (effect == "session reset" || effect == "session_reset") return paint("resets sessions", Tone::warn, colour);
  if (effect == "hot") return paint("without interruption", Tone::good, colour);
  const bool none = effect.empty() || effect == "none";
  return paint(none ? "no effect on traffic" : effect, Tone::good, colour);
}

std::string change_line(std::string_view line, bool colour) {
  const Tone tone = line.starts_with('+')   ? Tone::good
                    : line.starts_with('-') ? Tone::bad
                                            : Tone::plain;
  return paint(printable(line), tone, colour);
}

std::string change_lines(const Json& changes, bool colour) { return change_lines(changes, Json(), colour); }

std::string change_lines(const Json& changes, const Json& classes, bool colour) {
  std::string out;
  for (size_t i = 0; i < changes.size(); ++i) {
    const Json& change = changes[i];
    out += "  " + change_line(change.is_string() ? change.get<std::string>() : json_text(change), colour);
    if (i < classes.size() && classes[i].is_string())
      out += paint(fmt::format("  ({})", printable(classes[i].get<std::string>())), Tone::dim, colour);
    out += "\n";
  }
  return out;
}

std::string unified_text(std::string_view text, bool colour) {
  std::string out;
  for (const std::string& line : split(text, '\n')) {
    const bool place =
        line.starts_with("--- ") || line.starts_with("+++ ") || line.starts_with("@@ ");
    out += (place ? paint(printable(line), Tone::dim, colour) : change_line(line, colour)) + "\n";
  }
  return out;
}

}  // namespace mesh::cli
