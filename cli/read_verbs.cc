// list, show, show_all, whoami, controller, version: what the queries answer.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/files/file_contents.h"
#include "cli/handlers.h"
#include "cli/link_text.h"
#include "cli/scope.h"
#include "cli/version.h"
#include "cli/views.h"
#include "eventstore/model/crypto.h"

namespace mesh::cli {

namespace {

Result<Json> ask(Session& session, const std::string& kind, const QueryArguments& arguments = {}) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  return (*client)->query(kind, arguments);
}

Result<int> show_list(Session& session, const std::string& kind, const ListView& view,
                      const QueryArguments& arguments = {}) {
  auto document = ask(session, kind, arguments);
  if (!document) return std::unexpected(std::move(document).error());
  session.print_list(*document, view);
  const bool changes = session.has("detailed-exitcode") && !value_at(*document, "items").empty();
  return int{changes ? kChanges : kSuccess};
}

/// {NAME: {value, ...}} as rows, values as people type them.
Json attribute_rows(const Json& attributes) {
  Json rows = Json::array();
  for (const auto& [name, attribute] : attributes.items()) {
    const Json& value = value_at(attribute, "value");
    const std::string scope = text_at(attribute, "scope");
    rows.push_back({{"name", name},
                    {"value", attribute_text(value)},
                    {"scope", scope.empty() ? "default" : scope},
                    {"sequence",
                     number_at(attribute, "sequence") ? value_at(attribute, "sequence") : Json()}});
  }
  return rows;
}

Result<int> show_attributes(Session& session, const std::string& kind, const ListView& view) {
  auto document = ask(session, kind, {{"scope", to_text(target_of(session))}});
  if (!document) return std::unexpected(std::move(document).error());
  const Json& attributes = value_at(*document, "attributes");
  if (session.format() == Format::name) {
    for (const auto& [name, attribute] : attributes.items()) session.print(name + "\n");
  } else if (session.for_people()) {
    session.print_list({{"items", attribute_rows(attributes)}}, view);
    const Json& effective = value_at(*document, "effective");
    if (session.format() == Format::wide && effective.is_object() && !effective.empty())
      session.print("\n" + yaml_text(effective));
  } else {
    session.print_document(*document);
  }
  return int{kSuccess};
}

}  // namespace

Result<int> list_sites(Session& session) { return show_list(session, "sites", kSitesView); }
Result<int> list_changes(Session& session) {
  auto document = ask(session, "changes");
  if (!document) return std::unexpected(std::move(document).error());
  if (session.for_people())
    for (Json& item : (*document)["items"])
      for (const char* side : {"before", "now"})
        if (item[side].is_object()) item[side] = attribute_text(item[side]);
  session.print_list(*document, kChangesView);
  const bool changes = session.has("detailed-exitcode") && !value_at(*document, "items").empty();
  return int{changes ? kChanges : kSuccess};
}
Result<int> list_tokens(Session& session) { return show_list(session, "tokens", kTokensView); }
Result<int> list_operators(Session& session) {
  return show_list(session, "operators", kOperatorsView);
}

Result<int> list_tags(Session& session) { return show_list(session, "tags", kTagsView); }

Result<int> list_nodes(Session& session) {
  const std::string site = session.argument("all|SITE");
  QueryArguments arguments;
  if (!site.empty() && site != "all") arguments["site"] = site;
  return show_list(session, "nodes", kNodesView, arguments);
}

Result<int> list_changed(Session& session) {
  auto document = ask(session, "changed");
  if (!document) return std::unexpected(std::move(document).error());
  const bool some = !value_at(*document, "items").empty();
  // A first version changes everything: the whole list is for -o wide, or `plan`.
  constexpr size_t kShown = 2;
  if (session.format() == Format::table)
    for (Json& item : (*document)["items"]) {
      Json& changes = item["changes"];
      const size_t more = changes.size() > kShown + 1 ? changes.size() - kShown : 0;
      for (size_t i = 0; i < more; ++i) changes.erase(changes.size() - 1);
      if (more > 0) changes.push_back(fmt::format("and {} more", more));
    }
  session.print_list(*document, kChangedView);
  return int{session.has("detailed-exitcode") && some ? kChanges : kSuccess};
}

Result<int> list_links(Session& session) {
  QueryArguments arguments;
  if (const std::string node = session.argument("NODE"); !node.empty()) arguments["node"] = node;
  auto document = ask(session, "links", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  if (session.for_people())
    for (Json& item : (*document)["items"]) add_link_texts(item);
  if (session.format() == Format::name) {
    for (const Json& item : value_at(*document, "items"))
      session.print(text_at(item, "a_name") + " " + text_at(item, "b_name") + "\n");
    return int{kSuccess};
  }
  session.print_list(*document, kLinksView);
  return int{kSuccess};
}

Result<int> list_versions(Session& session) {
  return show_list(session, "versions", kVersionsView, {{"node", session.argument("NODE")}});
}

Result<int> show_level(Session& session) {
  return show_attributes(session, "show", kAttributesView);
}
Result<int> show_effective(Session& session) {
  return show_attributes(session, "show_all", kEffectiveView);
}

/// YAML is what people read and what -o yaml says: Towalink's config.yaml.
Result<int> show_variables(Session& session) {
  auto document = ask(session, "variables", {{"node", session.argument("NODE")}});
  if (!document) return std::unexpected(std::move(document).error());
  if (session.format() == Format::name) {
    for (const auto& [name, value] : value_at(*document, "variables").items()) session.print(name + "\n");
  } else if (session.for_people() || session.format() == Format::yaml) {
    session.print(text_at(*document, "yaml"));
  } else {
    document->erase("yaml");
    session.print_document(*document);
  }
  return int{kSuccess};
}

Result<int> show_whoami(Session& session) {
  auto document = ask(session, "whoami");
  if (!document) return std::unexpected(std::move(document).error());
  const std::string name = text_at(*document, "name");
  if (session.format() == Format::name) {
    session.print(name + "\n");
  } else if (session.for_people()) {
    const std::string sites = cell_text(value_at(*document, "sites"), Cell::text, true);
    session.print(fmt::format("{}  {}  {}\n", printable(name), text_at(*document, "role"),
                              sites == "-" ? "all sites" : "sites " + sites));
  } else {
    session.print_document(*document);
  }
  return int{kSuccess};
}

Result<int> controller_status(Session& session) {
  auto document = ask(session, "controller");
  if (!document) return std::unexpected(std::move(document).error());
  if (!session.for_people()) {
    session.print(session.format() == Format::name ? text_at(*document, "log") + "\n"
                                                   : document_text(*document, session.format()));
    return int{kSuccess};
  }
  const Json& nodes = value_at(*document, "nodes");
  const bool read_only = flag_at(*document, "read_only");
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format("{:<10}  {}\n", name, printable(value));
  };
  line("version", text_at(*document, "version"));
  line("log", text_at(*document, "log"));
  line("sequence", fmt::format("#{}", number_at(*document, "sequence")));
  line("root", text_at(*document, "root"));
  line("epoch", fmt::format("{}", number_at(*document, "epoch")));
  line("state", read_only ? "read-only: " + text_at(*document, "problem") : "ok");
  line("nodes", fmt::format("{} connected, {} enrolled, {} in all", number_at(nodes, "connected"),
                            number_at(nodes, "enrolled"), number_at(nodes, "total")));
  line("sessions", fmt::format("{}", number_at(*document, "sessions")));
  line("log size", bytes_text(static_cast<uint64_t>(number_at(*document, "log_bytes"))));
  line("memory", bytes_text(static_cast<uint64_t>(number_at(*document, "rss_bytes"))));
  line("up for", duration_text(number_at(*document, "uptime_s")));
  session.print(out);
  return int{kSuccess};
}

Result<int> controller_connection(Session& session) {
  auto context = session.context();
  if (!context) return std::unexpected(std::move(context).error());
  const Connection& connection = (*context)->connection;
  if (session.for_people()) {
    session.print(fmt::format("# fingerprint {}\n", fingerprint(connection.log.view())));
    session.print(connection_text(connection));
    session.hint(
        "These lines complete the draft that `meshcli operator keygen` writes for a new operator.");
    return int{kSuccess};
  }
  if (session.format() == Format::name) {
    for (const std::string& endpoint : connection.endpoints) session.print(endpoint + "\n");
    return int{kSuccess};
  }
  session.print_document({{"kind", "Connection"},
                          {"fingerprint", fingerprint(connection.log.view())},
                          {"endpoints", connection.endpoints},
                          {"controller_key", to_base64(connection.controller_key.view())},
                          {"log_id", to_hex(connection.log.view())},
                          {"log_key", to_base64(connection.log_key.view())}});
  return int{kSuccess};
}

Result<int> show_version(Session& session) {
  if (session.for_people() || session.format() == Format::name)
    session.print(fmt::format("meshcli {}\n", kProgramVersion));
  else
    session.print_document({{"kind", "Version"},
                            {"program", "meshcli"},
                            {"version", kProgramVersion},
                            {"protocol", kProtocol}});
  return int{kSuccess};
}

}  // namespace mesh::cli
