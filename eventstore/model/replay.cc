#include "eventstore/model/replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/crypto.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/evolve.h"

namespace mesh {

namespace {

std::unexpected<Error> bad(const EntryHeader& header, std::string what) {
  return fail(Errc::corrupt, fmt::format("entry {}: {}", header.sequence.value(), what));
}

Status check_header(const Replica& replica, const EntryHeader& header, const LogId& expected) {
  const MeshState& state = replica.state;
  if (header.sequence != next(state.sequence))
    return fail(Errc::conflict, fmt::format("expected entry {}, got {}", state.sequence.value() + 1,
                                            header.sequence.value()));
  if (header.log != expected) return bad(header, "it belongs to another log");
  MESH_TRY(check_rules(header, nullptr));
  if (header.time < state.time)
    return bad(header, "its time is before that of the entry before it");
  if (state.sequence == Sequence()) return {};
  if (header.epoch != state.epoch) return bad(header, "it is of another epoch");
  if (header.rules != state.rules) return bad(header, "its rules are not those in force");
  return {};
}

Status check_body(const Replica& replica, const Entry& entry) {
  const EntryHeader& header = entry.header;
  const EntryBody& body = *entry.body;
  const Request& request = body.request;
  if (request.principal != header.principal)
    return bad(header, "header and request name different principals");
  if (body.context.time != header.time) return bad(header, "header and context differ in time");
  if (request.log != header.log) return bad(header, "the request was signed for another log");
  auto entry_class = classify(request);
  if (!entry_class || *entry_class != header.entry_class)
    return bad(header, "the class does not fit the commands");
  auto key = signer_key(replica.state, request);
  if (!key) return bad(header, key.error().message);
  if (entry.checked != *key && !verify_signature(*key, kRequestDomain, body.signed_request.bytes,
                                                 body.signed_request.signature))
    return bad(header, fmt::format("the signature of {} is wrong", to_text(request.principal)));
  MESH_TRY(check_rules(header, &request));
  auto events = decide(replica.state, request, body.context);
  if (!events) return bad(header, "its request would have been refused: " + events.error().message);
  if (events->empty()) return bad(header, "its request changes nothing, so it should not be there");
  if (*events != body.events) return bad(header, "its events do not follow from its request");
  for (const Event& event : body.events) {
    // The one thing that decide() cannot know: the tree is not part of the state.
    const auto* started = std::get_if<EpochStarted>(&event);
    if (started && started->base_root != replica.frontier.root())
      return bad(header, fmt::format("it starts epoch {} on root {}, but #{} has root {}", started->epoch,
                                     to_hex(started->base_root.view()), started->base.value(),
                                     to_hex(replica.frontier.root().view())));
  }
  return {};
}

}  // namespace

Status check_rules(const EntryHeader& header, const Request* request) {
  uint32_t rules = header.rules;
  for (size_t i = 0; request && i < request->commands.size(); ++i) {
    const Command& command = request->commands[i];
    if (const auto* raise = std::get_if<RaiseRules>(&command)) rules = std::max(rules, raise->rules);
    if (const auto* first = std::get_if<CreateLog>(&command)) rules = std::max(rules, first->rules);
  }
  if (rules <= kRulesNewest) return {};
  return fail(Errc::unsupported,
              fmt::format("entry {} has rules {}, this program knows {}", header.sequence.value(),
                          rules, kRulesNewest),
              "upgrade this program");
}

Status replay(Replica& replica, const Entry& entry, const LogId& expected) {
  MESH_TRY(check_header(replica, entry.header, expected));
  if (!entry.body) {
    // Only reports travel without a body: intent that cannot be checked is never believed.
    if (entry.header.entry_class != EntryClass::report || replica.state.sequence == Sequence())
      return bad(entry.header, "its body is missing");
    evolve_header(replica.state, entry.header);
  } else {
    MESH_TRY(check_body(replica, entry));
    evolve(replica.state, entry.header, *entry.body);
  }
  replica.frontier.append(entry.leaf);
  return {};
}

Status matches(const Replica& replica, const Checkpoint& checkpoint) {
  const std::string origin = checkpoint_origin(replica.state.log, replica.state.epoch);
  if (checkpoint.origin != origin)
    return fail(Errc::corrupt, fmt::format("the checkpoint is of {}, the replayed entries are of {}",
                                           checkpoint.origin, origin));
  if (checkpoint.size != replica.frontier.size())
    return fail(Errc::corrupt, fmt::format("the checkpoint is at {}, the replica at {}",
                                           checkpoint.size, replica.frontier.size()));
  if (checkpoint.root != replica.frontier.root())
    return fail(Errc::corrupt,
                fmt::format("at entry {} the checkpoint's root is {}, the replayed entries give {}",
                            checkpoint.size, to_hex(checkpoint.root.view()),
                            to_hex(replica.frontier.root().view())));
  return {};
}

}  // namespace mesh
