#include "eventstore/model/decide.h"

#include <fmt/format.h>

#include "eventstore/model/crypto.h"
#include "eventstore/model/decide_internal.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/merkle.h"

namespace mesh {

namespace {

Status check_frame(const MeshState& state, const Request& request, const Context& context) {
  MESH_TRY(classify(request));
  if (request.message.size() > kMessageBytesMax || request.reference.size() > kMessageBytesMax)
    return fail(Errc::exhausted, fmt::format("a message has at most {} bytes", kMessageBytesMax));
  if (context.time < state.time)
    return fail(Errc::invalid, "the context's time is before the last entry's");
  if (state.sequence == Sequence()) return {};
  if (request.log != state.log)
    return fail(Errc::unauthenticated,
                fmt::format("the request is signed for log {}, this is log {}",
                            to_hex(request.log.view()), to_hex(state.log.view())),
                "use the context of this controller");
  if (request.epoch != state.epoch)
    return fail(Errc::conflict, fmt::format("the request is for epoch {}, the log is in epoch {}",
                                            request.epoch, state.epoch));
  if (request.based_on > state.sequence)
    return fail(Errc::conflict, fmt::format("the request is based on #{}, the log ends at #{}",
                                            request.based_on.value(), state.sequence.value()));
  if (state.sequence.value() - request.based_on.value() > kRequestWindow)
    return fail(Errc::conflict,
                fmt::format("the request is based on #{}, more than {} entries ago",
                            request.based_on.value(), kRequestWindow),
                "read the state again and sign a new request");
  if (state.window->entries.contains(request.id))
    return fail(Errc::conflict, "the request id was used already");
  if (request.expect_sequence != Sequence() && state.intent_sequence > request.expect_sequence)
    return fail(Errc::conflict,
                fmt::format("expected nothing after #{}, but #{} changed the intent",
                            request.expect_sequence.value(), state.intent_sequence.value()),
                "look at it with meshcli log, then try again");
  return {};
}

}  // namespace

Result<std::vector<Event>> decide(const MeshState& state, const Request& request,
                                  const Context& context) {
  MESH_TRY(check_frame(state, request, context));
  MESH_TRY(authorise(state, request));
  for (const Command& command : request.commands)
    if (state.sequence != Sequence() && rules_of(command) > state.rules)
      return fail(Errc::unsupported,
                  fmt::format("{} needs rules {}, this log is at {}", command_name(command),
                              rules_of(command), state.rules),
                  "when all nodes run a program that knows them: meshcli controller rules");
  auto decide_one = [&](const MeshState& now, const Command& command) {
    deciding::Case on{now, request, context};
    return std::visit([&](const auto& c) { return deciding::decide(on, c); }, command);
  };
  if (request.commands.size() == 1) return decide_one(state, request.commands[0]);

  // Each command sees what the ones before it did. Copying a state shares its sites and nodes.
  MeshState scratch = state;
  Applied at{next(state.sequence), context.time, request.principal};
  std::vector<Event> events;
  for (size_t i = 0; i < request.commands.size(); ++i) {
    auto decided = decide_one(scratch, request.commands[i]);
    if (!decided)
      return fail_in(fmt::format("command {} of {}", i + 1, request.commands.size()),
                     decided.error());
    for (Event& event : *decided) {
      evolve(scratch, event, at);
      events.push_back(std::move(event));
    }
    if (events.size() > kEventsPerEntryMax)
      return fail(Errc::exhausted,
                  fmt::format("an entry holds at most {} events", kEventsPerEntryMax));
  }
  return events;
}

LogId derive_log_id(const CreateLog& genesis) {
  Sha256 hash;
  auto add_text = [&](std::string_view text) {
    uint8_t size[4];
    for (int i = 0; i < 4; ++i) size[i] = static_cast<uint8_t>(text.size() >> (8 * i));
    hash.add(ByteView(size, 4)).add(as_bytes(text));
  };
  hash.add(as_bytes("meshlog/log-id/1\n"));
  for (ByteView key :
       {genesis.log_key.view(), genesis.controller_key.view(), genesis.recovery_key.view(),
        genesis.admin_sign_key.view(), genesis.admin_box_key.view(), genesis.nonce.view()})
    hash.add(key);
  add_text(genesis.admin);
  for (const auto* list : {&genesis.endpoints, &genesis.enrol_endpoints}) {
    add_text(fmt::format("{}", list->size()));
    for (const std::string& endpoint : *list) add_text(endpoint);
  }
  for (const std::string* text :
       {&genesis.profile, &genesis.loopbacknet_ipv4, &genesis.loopbacknet_ipv6,
        &genesis.transfernet_ipv4, &genesis.transfernet_ipv6})
    add_text(*text);
  add_text(fmt::format("{}", genesis.bgp_as_base));
  if (genesis.rules > 1) add_text(fmt::format("rules {}", genesis.rules));
  Digest digest = hash.finish();
  return *LogId::from(digest.view().first(LogId::kSize));
}

Digest version_rows_root(const std::vector<VersionRow>& rows) {
  std::vector<Digest> leaves;
  leaves.reserve(rows.size());
  for (const VersionRow& row : rows) {
    Bytes leaf;
    for (uint32_t number : {row.node.value(), row.version.value()})
      for (int i = 0; i < 4; ++i) leaf.push_back(static_cast<uint8_t>(number >> (8 * i)));
    leaf.insert(leaf.end(), row.digest.bytes.begin(), row.digest.bytes.end());
    leaves.push_back(leaf_hash(leaf));
  }
  return merkle_root(leaves);
}

}  // namespace mesh
