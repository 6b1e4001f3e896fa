#include "nodes/dataplane/bird_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && is_space(text[i])) ++i;
    size_t begin = i;
    while (i < text.size() && !is_space(text[i])) ++i;
    if (i > begin) out.push_back(text.substr(begin, i - begin));
  }
  return out;
}

/// The value of "  Name:   value"; nothing when the line has another name.
std::string_view value_of(std::string_view line, std::string_view name) {
  line = trim(line);
  return line.starts_with(name) ? trim(line.substr(name.size())) : std::string_view();
}

constexpr int kProtocolLine = 1002, kDetailLine = 1006, kBfdLine = 1020, kRouteLine = 1007;

}  // namespace

bool BirdReply::has(int wanted) const {
  return std::ranges::find(lines, wanted, &BirdLine::code) != lines.end();
}

std::string BirdReply::text() const {
  std::string out;
  for (const BirdLine& line : lines) {
    if (!out.empty() && !line.text.empty()) out += '\n';
    out += line.text;
  }
  return out;
}

Result<bool> BirdReplyReader::feed(std::string_view bytes) {
  pending_ += bytes;
  size_t begin = 0;
  Result<bool> complete = false;
  for (size_t end;
       complete && !*complete && (end = pending_.find('\n', begin)) != std::string::npos;
       begin = end + 1)
    complete = take_line(std::string_view(pending_).substr(begin, end - begin));
  pending_.erase(0, begin);
  return complete;
}

Result<bool> BirdReplyReader::take_line(std::string_view line) {
  if (line.starts_with('+')) {
    reply_.unasked.emplace_back(line.substr(1));
    return false;
  }
  if (line.starts_with(' ') && !reply_.lines.empty()) {
    reply_.lines.push_back({reply_.lines.back().code, std::string(line.substr(1))});
    return false;
  }
  bool numbered = line.size() >= 5 && std::ranges::all_of(line.substr(0, 4), [](char c) {
                    return c >= '0' && c <= '9';
                  });
  if (!numbered || (line[4] != '-' && line[4] != ' '))
    return fail(Errc::io, fmt::format("BIRD says \"{}\", which is not its protocol", line));
  int code =
      (line[0] - '0') * 1000 + (line[1] - '0') * 100 + (line[2] - '0') * 10 + (line[3] - '0');
  reply_.lines.push_back({code, std::string(line.substr(5))});
  return line[4] == ' ';
}

BirdReply BirdReplyReader::take() { return std::exchange(reply_, {}); }

std::string parse_bird_version(const BirdReply& reply) {
  constexpr int kVersionLine = 1000;
  constexpr std::string_view kName = "BIRD ";
  for (const BirdLine& line : reply.lines)
    if (line.code == kVersionLine && line.text.starts_with(kName)) return line.text.substr(kName.size());
  return {};
}

std::vector<BgpSession> parse_bgp_sessions(const BirdReply& reply) {
  std::vector<BgpSession> out;
  bool in_bgp = false;
  for (const BirdLine& line : reply.lines) {
    if (line.code == kProtocolLine) {
      auto words = words_of(line.text);
      in_bgp = words.size() >= 2 && words[1] == "BGP";
      if (in_bgp) out.emplace_back().protocol = words[0];
    } else if (line.code == kDetailLine && in_bgp) {
      BgpSession& session = out.back();
      if (auto state = value_of(line.text, "BGP state:"); !state.empty()) session.state = state;
      if (auto neighbour = value_of(line.text, "Neighbor address:"); !neighbour.empty()) {
        size_t percent = neighbour.find('%');
        session.neighbour = neighbour.substr(0, percent);
        if (percent != std::string_view::npos) session.interface = neighbour.substr(percent + 1);
      }
    }
  }
  return out;
}

std::vector<BfdSession> parse_bfd_sessions(const BirdReply& reply) {
  std::vector<BfdSession> out;
  for (const BirdLine& line : reply.lines) {
    auto words = words_of(line.text);
    if (line.code != kBfdLine || words.size() < 6 || words[0] == "IP") continue;
    out.push_back({std::string(words[0]), std::string(words[1]), std::string(words[2])});
  }
  return out;
}

std::vector<ToldRoute> parse_routes(const BirdReply& reply) {
  std::vector<ToldRoute> out;
  std::string_view network;
  for (const BirdLine& line : reply.lines) {
    // "10.2.0.0/24          unicast [peer_12 12:00:00.000] * (100) [AS4200000012i]"; of further
    // routes to a network it is left out, and below each stand its next hops.
    const std::string_view text = line.text;
    const size_t open = text.find(" [");
    if (line.code != kRouteLine || open == std::string_view::npos) continue;
    if (!is_space(text.front())) network = text.substr(0, text.find(' '));
    const std::string_view protocol = text.substr(open + 2);
    out.push_back({std::string(network), std::string(protocol.substr(0, protocol.find_first_of(" ]")))});
  }
  return out;
}

std::string with_identity(std::string_view text) {
  return fmt::format("{}\ndefine {} = \"{}\";\n", text, kBirdIdentity,
                     to_hex(sha256(as_bytes(text)).view()));
}

Result<IdentifiedText> split_identity(std::string_view file) {
  std::string mark = fmt::format("\ndefine {} = \"", kBirdIdentity);
  size_t begin = file.rfind(mark);
  if (begin == std::string_view::npos)
    return fail(Errc::corrupt, "the configuration of BIRD does not end with its identity");
  std::string_view text = file.substr(0, begin), identity = file.substr(begin + mark.size());
  if (with_identity(text) != file)
    return fail(Errc::corrupt, "the configuration of BIRD was changed by hand");
  return IdentifiedText{std::string(text), std::string(identity.substr(0, identity.find('"')))};
}

}  // namespace mesh
