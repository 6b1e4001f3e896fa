// show entry: one entry, checked here from its own bytes, with what it rests on and what came of it.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/event_text.h"
#include "cli/handlers.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::cli {

namespace {

/// What could be checked without believing the controller.
struct Check {
  bool hashes = false;     // the bytes are those that the Merkle leaf names
  bool signature = false;  // by `key`
  std::string key;         // whose word it is that this is the signer's key
  std::string problem;     // empty when everything that could be checked holds
  std::optional<Entry> entry;

  Json document() const {
    return {{"hashes", hashes},
            {"signature", signature},
            {"key", key.empty() ? Json() : Json(key)},
            {"problem", problem.empty() ? Json() : Json(problem)}};
  }
};

struct KnownKey {
  SignKey key;
  std::string from;
};

/// The context pins the log key and holds the operator's own; others' keys are told by the
/// controller.
std::optional<KnownKey> key_of(const OperatorContext& context, const Principal& who,
                               const Json& told) {
  if (who.kind == PrincipalKind::controller)
    return KnownKey{context.connection.log_key, "pinned by the context"};
  if (who == Principal::human(context.name))
    return KnownKey{context.sign.public_key(), "your own"};
  auto key = array_from_hex<SignKey>(text_at(told, "key"));
  if (!key) return std::nullopt;
  return KnownKey{*key, "as the controller tells"};
}

/// Errors are findings. Without a body nothing is checked, and that is no problem.
Check check_entry(const OperatorContext& context, const Json& document, uint64_t sequence) {
  Check out;
  const Json& item = value_at(document, "item");
  auto header = from_base64(text_at(item, "header"));
  auto body = from_base64(text_at(document, "body"));
  if (text_at(document, "body").empty()) return out;
  if (!header || !body) {
    out.problem = "its bytes are not base64";
    return out;
  }
  auto entry = decode_entry({std::move(*header), std::move(*body)});
  if (!entry || !entry->body) {
    out.problem = entry ? "it has no body" : entry.error().message;
    return out;
  }
  if (entry->header.sequence.value() != sequence || entry->header.log != context.connection.log) {
    out.problem = fmt::format("it is entry {} of log {}", entry->header.sequence.value(),
                              to_hex(entry->header.log.view()));
    return out;
  }
  out.hashes = true;
  const SignedRequest& request = entry->body->signed_request;
  auto key = key_of(context, entry->header.principal, value_at(document, "signature"));
  if (key) {
    out.key = key->from;
    out.signature =
        verify_signature(key->key, kRequestDomain, request.bytes, request.signature);
  }
  if (!out.signature) out.problem = "the signature is not by the signer's key";
  if (entry->body->request.principal != entry->header.principal)
    out.problem = "the request is by another principal than the header says";
  out.entry = std::move(*entry);
  return out;
}

/// "SetAttribute  target=site ams name=wg_keepalive value=20"
std::string command_text(const Json& command) {
  std::string out = text_at(command, "type") + " ";
  for (const auto& [key, value] : command.items()) {
    if (key == "type" || value.is_null() || value == "") continue;
    out += fmt::format(" {}={}", key, value.is_string() ? value.get<std::string>() : json_text(value));
  }
  return out;
}

class EntryText {
 public:
  EntryText(Session& session, const Json& document, const Check& check)
      : session_(session), document_(document), item_(value_at(document, "item")), check_(check) {
    learn_names(names_, document);
  }

  std::string text() {
    heading();
    signature();
    commands();
    section("events");
    for (const Json& event : value_at(item_, "events")) line(event_text(event, names_));
    links("rests on", "causes");
    links("led to", "effects");
    return std::move(out_);
  }

 private:
  bool wide() const { return session_.format() == Format::wide; }
  void field(std::string_view name, std::string_view value) {
    if (!value.empty()) out_ += fmt::format("{:<10}  {}\n", name, printable(value));
  }
  void section(std::string_view name) {
    out_ += paint(name, Tone::bold, session_.colour_out()) + "\n";
  }
  void line(std::string_view text) { out_ += "  " + printable(text) + "\n"; }

  void heading() {
    field("entry", fmt::format("#{}", number_at(item_, "sequence")));
    field("time", cell_text(value_at(item_, "time"), Cell::time, wide()));
    const std::string origin = text_at(item_, "origin");
    field("by", text_at(item_, "principal") + (origin.empty() ? "" : ", from " + origin));
    field("why", text_at(item_, "message"));
    field("reference", text_at(item_, "reference"));
    field("based on", fmt::format("#{}", number_at(item_, "based_on")));
    if (!wide()) return;
    field("request", text_at(item_, "request"));
    field("context", fmt::format("time {}, {}", text_at(value_at(item_, "context"), "time"),
                                 count_text(static_cast<uint64_t>(number_at(
                                                value_at(item_, "context"), "candidates")),
                                            "candidate")));
    field("rules", fmt::format("{}, epoch {}, term {}", number_at(item_, "rules"),
                               number_at(item_, "epoch"), number_at(item_, "term")));
    field("leaf", text_at(item_, "leaf"));
  }

  void signature() {
    const Json& told = value_at(document_, "signature");
    const std::string key = wide() ? text_at(told, "key") : text_at(told, "fingerprint");
    std::string verdict;
    if (!check_.problem.empty())
      verdict = paint("WRONG: " + printable(check_.problem), Tone::bad, session_.colour_out());
    else if (check_.signature)
      verdict = paint("valid", Tone::good, session_.colour_out()) + ", checked here; key " +
                check_.key;
    else
      verdict = fmt::format("{}, as the controller says: too large to be checked here",
                            flag_at(told, "valid") ? "valid" : "WRONG");
    out_ += fmt::format("{:<10}  {}\n", "signature", verdict);
    const Json& since = value_at(told, "since");
    field("key", key + (since.is_number() ? fmt::format(" since #{}", since.get<int64_t>()) : ""));
  }

  void commands() {
    section("commands");
    constexpr size_t kShown = 20;
    const Json& commands = value_at(item_, "commands");
    const size_t shown = wide() ? commands.size() : std::min(commands.size(), kShown);
    for (size_t i = 0; i < shown; ++i) line(command_text(commands[i]));
    if (commands.size() > shown) line(fmt::format("and {} more (-o wide)", commands.size() - shown));
  }

  void links(std::string_view title, const std::string& key) {
    const Json& links = value_at(document_, key);
    const auto more = number_at(document_, key + "_more");
    if (links.empty()) return;
    section(title);
    for (const Json& link : links) {
      std::string relation = text_at(link, "relation");
      std::replace(relation.begin(), relation.end(), '_', ' ');
      const std::string message = text_at(link, "message");
      line(fmt::format("{:<6}  {}  {:<10}  {}: {}{}",
                       fmt::format("#{}", number_at(link, "sequence")),
                       cell_text(value_at(link, "time"), Cell::time, false), text_at(link, "by"),
                       relation, text_at(link, "text"),
                       message.empty() ? "" : fmt::format("  \"{}\"", message)));
    }
    if (more > 0) line(fmt::format("and {} more", more));
  }

  Session& session_;
  const Json& document_;
  const Json& item_;
  const Check& check_;
  NodeNames names_;
  std::string out_;
};

}  // namespace

Result<int> show_entry(Session& session) {
  std::string text = session.argument("SEQUENCE");
  if (text.starts_with('#')) text.erase(0, 1);
  auto number = parse_number("SEQUENCE", text);
  if (!number) return std::unexpected(std::move(number).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("entry", {{"sequence", std::to_string(*number)}});
  if (!document) return std::unexpected(std::move(document).error());
  const Check check = check_entry((*client)->context(), *document, *number);
  // What is shown is what was checked, not what the controller says that it holds.
  if (check.entry) (*document)["item"].update(Json::parse(entry_json(*check.entry)));
  (*document)["checked"] = check.document();
  if (session.format() == Format::name)
    session.print(fmt::format("{}\n", *number));
  else if (session.for_people())
    session.print(EntryText(session, *document, check).text());
  else
    session.print_document(*document);
  if (check.problem.empty()) return int{kSuccess};
  session.warn(fmt::format("entry {} does not hold: {}; run `meshcli verify`", *number, check.problem));
  return int{kIntegrity};
}

}  // namespace mesh::cli
