// What BIRD 2 says on its control socket, and what can be read from a configuration without BIRD.
// Pure.
//
// A reply is lines of "NNNN-text" (goes on), " text" (same code) and a last "NNNN text"; "+text" is
// said by BIRD on its own, such as "+Config timeout expired, starting undo", and may stand between
// any two lines. Codes of 8000 and above are failures.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"

namespace mesh {

struct BirdLine {
  int code = 0;
  std::string text;
  bool operator==(const BirdLine&) const = default;
};

struct BirdReply {
  std::vector<BirdLine> lines;       // the last one's code is the reply's
  std::vector<std::string> unasked;  // "+" lines, without the "+"
  int code() const { return lines.empty() ? 0 : lines.back().code; }
  bool failed() const { return code() >= 8000; }
  bool has(int code) const;
  /// All text, joined by newlines.
  std::string text() const;
};

/// Takes bytes as they arrive, however they are cut.
class BirdReplyReader {
 public:
  /// True when the reply is complete; what follows it is kept for the next. Errors: io (not BIRD's
  /// protocol).
  Result<bool> feed(std::string_view bytes);
  /// The complete reply; the reader is then ready for the next.
  BirdReply take();

 private:
  Result<bool> take_line(std::string_view line);
  std::string pending_;
  BirdReply reply_;
};

/// From `show status`: "2.0.12"; empty when it does not say.
std::string parse_bird_version(const BirdReply& reply);

struct BgpSession {
  std::string protocol;
  std::string interface;  // of a link-local neighbour; empty otherwise
  std::string neighbour;
  std::string state;  // "Established", "Active", ...; for a disabled protocol "Down"
  bool operator==(const BgpSession&) const = default;
};
/// From `show protocols all`.
std::vector<BgpSession> parse_bgp_sessions(const BirdReply& reply);

struct BfdSession {
  std::string address, interface, state;  // "Up", "Down", "Init", "AdminDown"
  bool operator==(const BfdSession&) const = default;
};
/// From `show bfd sessions`.
std::vector<BfdSession> parse_bfd_sessions(const BirdReply& reply);

struct ToldRoute {
  std::string network, protocol;  // "10.2.0.0/24", "peer_12"
  bool operator==(const ToldRoute&) const = default;
};
/// From `show route`: one for each route, in its order.
std::vector<ToldRoute> parse_routes(const BirdReply& reply);

/// The file that is given to BIRD for `text`: with a last line that defines a constant, the SHA-256
/// of `text`. BIRD cannot print its configuration, but `eval` this constant: so what runs is known
/// after any crash, undo or restart.
std::string with_identity(std::string_view text);
/// The text and its digest in hex, from such a file. Errors: corrupt.
struct IdentifiedText {
  std::string text, identity;
};
Result<IdentifiedText> split_identity(std::string_view file);
inline constexpr std::string_view kBirdIdentity = "meshlog_config";

}  // namespace mesh
