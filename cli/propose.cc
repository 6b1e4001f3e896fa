#include "cli/propose.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/intent_plan.h"
#include "cli/mutate.h"

namespace mesh::cli {

namespace {

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  const size_t shown = std::min(names.size(), kShown);
  std::string out = fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<long>(shown), ", "));
  if (names.size() > shown) out += fmt::format(" and {} more", names.size() - shown);
  return out;
}

Status confirm_losses(Session& session, const IntentPlan& plan, const std::string& name) {
  std::vector<std::string> blast;
  if (!plan.lost_nodes.empty())
    blast.push_back(fmt::format("{} lost, {} of them enrolled, whose keys die at once: {}",
                                count_text(plan.lost_nodes.size(), "node"), plan.lost_enrolled,
                                some_of(plan.lost_nodes)));
  if (!plan.lost_sites.empty())
    blast.push_back(fmt::format("{} lost: {}", count_text(plan.lost_sites.size(), "site"),
                                some_of(plan.lost_sites)));
  return blast.empty() ? Status() : session.confirm(blast, name);
}

int exit_of(const Session& session, bool changes) {
  if (changes && session.has("detailed-exitcode")) return kChanges;
  return !changes && session.has("error-unchanged") ? kUnchanged : kSuccess;
}

Result<int> nothing_to_do(Session& session, const Proposal& proposal, bool dry_run) {
  if (session.for_people())
    session.print(fmt::format("{}  (nothing changed)\n", printable(proposal.line)));
  else if (session.format() != Format::name)
    session.print_document(reply_json(Reply{}, dry_run));
  return exit_of(session, false);
}

}  // namespace

Result<int> propose(Session& session, Client& client, const MeshState& now, Proposal proposal, Reply* out) {
  auto notes = session.notes();
  if (!notes) return std::unexpected(std::move(notes).error());
  if (proposal.commands.empty()) return nothing_to_do(session, proposal, notes->dry_run);
  auto plan = plan_commands(client.context(), now, proposal.commands);
  if (!plan) return std::unexpected(std::move(plan).error());
  if (session.for_people()) session.print(plan_text(*plan, session.colour_out()) + proposal.report);
  for (const std::string& warning : proposal.warnings) session.warn(warning);

  Reply reply;
  if (!notes->dry_run) {
    MESH_TRY(confirm_losses(session, *plan, proposal.name));
    if (notes->expect_sequence == Sequence()) notes->expect_sequence = now.sequence;
    auto done = client.submit(std::move(proposal.commands), *notes, std::move(proposal.attachments));
    if (!done) return std::unexpected(std::move(done).error());
    reply = std::move(*done);
    for (const std::string& warning : reply.warnings) session.warn(warning);
  }
  const bool changes = notes->dry_run || !reply.events.empty();
  if (session.for_people()) {
    session.print(fmt::format("{}  {}\n", printable(proposal.line),
                              notes->dry_run ? "(dry run)" : reply_suffix(reply, false, true)));
    if (!notes->dry_run && changes) session.hint(proposal.next);
  } else if (session.format() == Format::name) {
    if (reply.sequence != Sequence()) session.print(fmt::format("{}\n", reply.sequence.value()));
  } else {
    Json document = reply_json(reply, notes->dry_run);
    document["changed"] = changes;
    document["plan"] = plan_json(*plan);
    for (const std::string& warning : proposal.warnings) document["warnings"].push_back(warning);
    if (proposal.more) document.update(*proposal.more);
    session.print_document(document);
  }
  const int exit = exit_of(session, changes);
  if (out) *out = std::move(reply);
  return exit;
}

}  // namespace mesh::cli
