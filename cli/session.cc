#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/moment.h"

namespace mesh::cli {

namespace {

constexpr int64_t kProgressAfterMs = 100;
constexpr unsigned kBarColumns = 20;

bool wants_colour(const std::string& choice, bool terminal, const Variable& variable) {
  if (choice == "always") return true;
  if (choice == "never" || !terminal) return false;
  const auto no_colour = variable("NO_COLOR");
  const auto term = variable("TERM");
  return (!no_colour || no_colour->empty()) && term != "dumb";
}

}  // namespace

Session::Session(Environment& environment, const Grammar& grammar, const Invocation& invocation)
    : environment_(environment), grammar_(grammar), invocation_(invocation) {
  if (has("output")) format_ = *format_from(option("output"));
  colour_out_ = wants_colour(option("color"), environment.out_terminal, environment.variable);
  colour_err_ = wants_colour(option("color"), environment.err_terminal, environment.variable);
}

Session::~Session() = default;

void Session::print(std::string_view text) { *environment_.out << text << std::flush; }

void Session::print_list(const Json& document, const ListView& view) {
  print(list_text(document, view, format_, colour_out_));
  const auto items = document.find("items");
  if (for_people() && (items == document.end() || items->empty())) note(view.empty);
}

void Session::print_document(const Json& document) { print(document_text(document, format_)); }

void Session::note(std::string_view text) {
  if (talks() && !text.empty()) *environment_.err << text << "\n" << std::flush;
}

void Session::hint(std::string_view text) {
  if (for_people()) note(paint(text, Tone::dim, colour_err_));
}

void Session::warn(std::string_view text) {
  if (!quiet())
    *environment_.err << paint("warning:", Tone::warn, colour_err_) << " " << printable(text)
                      << "\n"
                      << std::flush;
}

Result<const OperatorContext*> Session::context() {
  if (!context_) {
    auto path = find_context(option("context"), environment_.variable);
    if (!path) return std::unexpected(std::move(path).error());
    auto loaded = load_context(*path);
    if (!loaded) return std::unexpected(std::move(loaded).error());
    context_ = std::make_unique<OperatorContext>(std::move(*loaded));
  }
  return context_.get();
}

Result<Client*> Session::connect() {
  if (client_) return client_.get();
  auto loaded = context();
  if (!loaded) return std::unexpected(std::move(loaded).error());
  Trace trace = [](const std::string&) {};
  if (option("loglevel") == "debug")
    trace = [this](const std::string& line) { *environment_.err << "debug: " << line << "\n"; };
  auto transport = environment_.connect(**loaded, trace);
  if (!transport) return std::unexpected(std::move(transport).error());
  transport_ = std::move(*transport);
  client_ = std::make_unique<Client>(**loaded, *transport_, environment_);
  return client_.get();
}

std::string Session::node_meant() const {
  const std::string node = argument("NODE");
  return node.empty() ? argument("N") : node;
}

Result<Client*> Session::client() {
  auto client = connect();
  if (!client || at_resolved_ || !has("at")) return client;
  auto moment = resolve_moment(**client, option("at"), node_meant(), environment_.now());
  if (!moment) return std::unexpected(std::move(moment).error());
  (*client)->set_at(moment->at);
  at_resolved_ = true;
  note(to_text(*moment));
  return client;
}

Result<RequestNotes> Session::notes() const {
  RequestNotes out{option("message"), option("ref"), Sequence(), has("dry-run")};
  if (has("expect-sequence")) {
    auto number = parse_number("--expect-sequence", option("expect-sequence"));
    if (!number) return std::unexpected(std::move(number).error());
    out.expect_sequence = Sequence(*number);
  }
  return out;
}

Status Session::confirm(const std::vector<std::string>& blast, std::string_view name) {
  for (const std::string& line : blast) note(line);
  if (has("yes") || has("no-input") || !environment_.in_terminal || !environment_.err_terminal)
    return {};
  *environment_.err << fmt::format("Type {} to go on: ", name) << std::flush;
  std::string typed;
  std::getline(*environment_.in, typed);
  if (typed == name) return {};
  return fail(Errc::usage, "not confirmed; nothing was changed", "--yes goes on without asking");
}

Progress::Progress(Session& session)
    : session_(session), since_(session.environment().monotonic_ms()) {}

Progress::~Progress() {
  if (open_) *session_.environment().err << "\n";
}

void Progress::show(std::string_view what, uint64_t done, uint64_t total, std::string_view counts) {
  Environment& environment = session_.environment();
  if (!session_.talks() || environment.monotonic_ms() - since_ < kProgressAfterMs) return;
  if (environment.err_terminal) {
    *environment.err << fmt::format("\r\x1b[K{} {}  {}", what,
                                    progress_bar(done, total, kBarColumns), counts)
                     << std::flush;
    open_ = true;
    return;
  }
  std::string line = fmt::format("{} {}/{}  {}", what, done, total, counts);
  if (line == last_) return;
  *environment.err << line << "\n";
  last_ = std::move(line);
}

Result<uint64_t> parse_number(std::string_view what, std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return fail(Errc::usage, fmt::format("{}: \"{}\" is not a number", what, text), "digits alone, from 0");
  return number;
}

Result<Version> parse_version(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (text.empty() || lower == "latest" || lower == "current") return Version();
  std::string_view digits = lower;
  if (digits.starts_with('v')) digits.remove_prefix(1);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number == 0)
    return fail(Errc::usage, fmt::format("version is malformed: \"{}\"", text),
                "v5, 5, latest or current");
  return Version(number);
}

Error error_of_program(std::string_view name, const Environment::Finished& finished) {
  const Json document = Json::parse(finished.errors, nullptr, false);
  const Json& error = value_at(document, "error");
  const std::string code = text_at(error, "code");
  for (uint8_t i = 1; i <= static_cast<uint8_t>(Errc::unsupported); ++i)
    if (errc_name(static_cast<Errc>(i)) == code)
      return Error{static_cast<Errc>(i), text_at(error, "message"), text_at(error, "fix")};
  return Error{Errc::io, fmt::format("{} gave no result (exit {})", name, finished.status), {}};
}

std::string error_json(const Error& error, int exit) {
  const Json document{{"error",
                       {{"code", std::string(errc_name(error.code))},
                        {"exit", exit},
                        {"message", error.message},
                        {"fix", error.fix}}}};
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mesh::cli
