#include "broker/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "eventstore/model/canonical.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr uint64_t kTerm = 1;  // one controller; a replicated log will count
constexpr size_t kStagedEntriesMax = 4'096;
constexpr size_t kStagedBytesMax = 8 * 1024 * 1024;
constexpr int64_t kQuietMs = 60'000;
constexpr size_t kUnchangedMax = 4'096;  // remembered replies to requests that changed nothing

EntryHeader make_header(const MeshState& state, const Request& request, EntryClass entry_class,
                        const Context& context) {
  EntryHeader header;
  header.log = request.log;
  header.epoch = std::max<uint32_t>(state.epoch, 1);
  header.term = kTerm;
  header.sequence = next(state.sequence);
  header.time = context.time;
  header.principal = request.principal;
  header.entry_class = entry_class;
  header.rules = std::max<uint32_t>(state.rules, 1);
  return header;
}

CheckpointSigner note_signer(const ControllerOptions& options, const MeshState& state) {
  return [&options, &state](uint64_t size, const Digest& root) {
    std::string origin = checkpoint_origin(state.log, state.epoch);
    return sign_note(checkpoint_text({origin, size, root, {}}), origin, state.genesis.log_key,
                     [&](ByteView message) { return options.sign({}, message); });
  };
}

}  // namespace

Status create_log(EventLog& log, const CreateLog& genesis, const ControllerOptions& options,
                  Timestamp now) {
  Request request;
  request.log = derive_log_id(genesis);
  request.epoch = 1;
  request.principal = Principal::controller();
  request.id = options.new_request_id();
  request.commands = {genesis};
  request.origin = "controller";
  SignedRequest signed_request{encode_request(request), {}};
  signed_request.signature = options.sign(kRequestDomain, signed_request.bytes);
  MeshState state;
  Context context{now, {}};
  auto events = decide(state, request, context);
  if (!events) return std::unexpected(events.error());
  EntryHeader header = make_header(state, request, EntryClass::intent, context);
  EntryBody body{signed_request, request, context, *events};
  EncodedEntry encoded = encode_entry(header, body);
  evolve(state, header, body);
  auto head =
      log.append(Sequence(), kTerm, {&encoded, 1}, {&request.id, 1}, note_signer(options, state));
  if (!head) return std::unexpected(head.error());
  return {};
}

Controller::Controller(std::unique_ptr<EventLog> log, ControllerOptions options)
    : options_(std::move(options)),
      log_(std::move(log)),
      past_(std::make_unique<Past>(*log_)),
      subscriptions_(options_.snapshot_threshold) {}

Result<std::unique_ptr<Controller>> Controller::open(std::unique_ptr<EventLog> log,
                                                     ControllerOptions options) {
  std::unique_ptr<Controller> controller(new Controller(std::move(log), std::move(options)));
  MESH_TRY(controller->load());
  controller->orphans_.load(controller->state_, controller->options_.orphans);
  return controller;
}

Status Controller::load() {
  if (log_->head() == Sequence()) return fail(Errc::not_found, "the log is empty", "meshd init");
  auto state = newest_kept_state(*log_, log_->head());
  if (!state) return std::unexpected(state.error());
  newest_snapshot_ = state->sequence;
  MESH_TRY(fold_to(*log_, *state, log_->head()));
  state_ = std::move(*state);
  anchored_.reset();
  if (state_.anchor)
    if (auto bytes = log_->get_snapshot(state_.anchor->sequence))
      anchored_ = Snapshot{state_.anchor->sequence, std::move(*bytes)};
  rebuild_peers();
  collect_evidence();
  return {};
}

void Controller::rebuild_peers() {
  std::map<BoxKey, Peer> peers;
  for (const auto& [name, person] : state_.operators)
    if (!person.banned) peers[person.box_key] = {Principal::human(name), {}};
  for (const auto& [id, node] : state_.nodes)
    if (node->enrolment == Enrolment::enrolled)
      peers[node->box_key] = {{PrincipalKind::node, std::to_string(id.value())}, id};
  for (const auto& [key, peer] : peers_)
    if (!peers.contains(key)) {
      output_.muted.push_back(key);
      if (peer.node != NodeId()) board_.erase(peer.node);
    }
  peers_ = std::move(peers);
  std::erase_if(sessions_, [&](const auto& session) {
    if (peers_.contains(session.first.user)) return false;
    subscriptions_.forget(session.first);
    return true;
  });
}

bool Controller::enrolment_wanted(Now now) const {
  if (!waiting_.empty() || now.mono_ms < gather_until_ms_) return true;
  return std::any_of(state_.tokens.begin(), state_.tokens.end(), [&](const auto& item) {
    const Token& token = item.second;
    return token.state == TokenState::open &&
           (token.expires == Timestamp() || now.wall < token.expires);
  });
}

void Controller::send(const ReplyTo& to, Body body) {
  Bytes frame = encode_message({to.correlation, std::move(body)});
  // The other end would hang up on it, and ask again.
  if (frame.size() > kFrameBytesMax)
    frame = encode_message({to.correlation, ErrorReply{{Errc::exhausted,
                                                        fmt::format("the answer has {} bytes, a message at most {}",
                                                                    frame.size(), kFrameBytesMax),
                                                        "ask about less: one site or one node"}}});
  output_.frames.push_back({to.session, std::make_shared<const Bytes>(std::move(frame))});
}

std::optional<SignKey> Controller::signer_of(const SessionId& session) const {
  auto peer = peers_.find(session.user);
  if (session.enrolment || peer == peers_.end() ||
      peer->second.principal.kind != PrincipalKind::human)
    return std::nullopt;
  const Operator* person = state_.find_operator(peer->second.principal.name);
  return person ? std::optional(person->sign_key) : std::nullopt;
}

void Controller::receive(const SessionId& session, Arrival arrival, Now now) {
  if (started_ms_ < 0) started_ms_ = now.mono_ms;
  auto& message = arrival.message;
  ReplyTo to{session, arrival.correlation};
  if (!message) return fail_to(to, message.error());
  if (session.enrolment) {
    const auto* query = std::get_if<Query>(&message->body);
    if (query && query->kind == kGreetingQuery) return send(to, QueryResult{greeting(), false, {}});
    if (!std::holds_alternative<Join>(message->body))
      return fail_to(
          to, {Errc::not_permitted, "only a join is answered here", "use the main endpoint"});
    deferred_.push_back({session, to.correlation, std::move(message->body), std::move(arrival.address)});
    return;
  }
  auto peer = peers_.find(session.user);
  if (peer == peers_.end()) return;  // revoked while connected: it gets nothing more
  sessions_.insert_or_assign(session, Visitor{peer->second.principal, now.mono_ms});
  if (const auto* submit = std::get_if<Submit>(&message->body))
    return on_submit(to, peer->second, *submit, arrival, now);
  deferred_.push_back({session, to.correlation, std::move(message->body)});
}

void Controller::on_submit(const ReplyTo& to, const Peer& peer, const Submit& submit,
                           const Arrival& arrival, Now now) {
  if (!broken_.empty())
    return fail_to(to,
                   {Errc::unavailable, "the log refuses writes: " + broken_,
                    "free space on the disk or repair it; the controller tries again by itself"});
  const Result<Request>& request = *arrival.request;
  if (!request) return fail_to(to, request.error());
  if (request->principal != peer.principal)
    return fail_to(to, {Errc::unauthenticated,
                        fmt::format("the request is signed for {}, the connection is {}'s",
                                    to_text(request->principal), to_text(peer.principal)),
                        {}});
  if (request->log != state_.log)
    return fail_to(to, {Errc::unauthenticated, "the request is signed for another log",
                        "use the context of this controller"});
  auto key = signer_key(state_, *request);
  if (!key) return fail_to(to, key.error());
  // Checked on arrival by the key of that moment: another one since then counts for nothing.
  if (arrival.checked != *key &&
      !verify_signature(*key, kRequestDomain, submit.request.bytes, submit.request.signature))
    return fail_to(to, {Errc::unauthenticated,
                        fmt::format("the signature of {} is wrong", to_text(request->principal)),
                        {}});
  if (answer_retry(to, request->id)) return;
  if (auto writable = check_writable(*request); !writable) return fail_to(to, writable.error());
  auto files = read_attachments(submit, *request);
  if (!files) return answer(to, ErrorReply{files.error()});
  if (submit.dry_run) {
    auto context = make_context(*request, now);
    auto events = context ? decide(state_, *request, *context) : std::unexpected(context.error());
    if (!events) return answer(to, ErrorReply{events.error()});
    if (auto based = check_base(*events); !based) return answer(to, ErrorReply{based.error()});
    return answer(to, Reply{{}, context->time, std::move(*events), {}});
  }
  auto staged = stage(submit.request, *request, now, *files);
  if (!staged) {
    const Error& error = staged.error();
    const bool final = error.code != Errc::unavailable && error.code != Errc::io && error.code != Errc::exhausted &&
                       error.code != Errc::corrupt;
    return answer(to, ErrorReply{error}, final ? std::optional(request->id) : std::nullopt);
  }
  if (*staged)
    (*staged)->to.push_back(to);
  else
    answer(to, Reply{{}, state_.time, {}, {}}, request->id);  // already true
}

Result<std::vector<Blob>> Controller::read_attachments(const Submit& submit, const Request& request) const {
  const auto file_of = [](const Command& command) {
    const auto* set = std::get_if<SetAttribute>(&command);
    return set ? set->value.file() : nullptr;
  };
  std::vector<Blob> blobs;
  if (submit.attachments.empty() && std::ranges::none_of(request.commands, file_of)) return blobs;
  MESH_TRY(authorise(state_, request));  // before megabytes are hashed and read
  std::map<Digest, const Bytes*> come;
  for (const Bytes& content : submit.attachments) come.emplace(sha256(content), &content);
  std::set<Digest> unused;
  for (const auto& each : come) unused.insert(each.first);
  std::set<std::pair<Digest, uint64_t>> there;
  for (const Command& command : request.commands) {
    const FileRef* file = file_of(command);
    if (!file) continue;
    const std::string& name = std::get<SetAttribute>(command).name;
    auto content = come.find(file->digest);
    if (content == come.end()) {
      if (!there.insert({file->digest, file->size}).second) continue;
      auto stored = log_->get_blob(file->digest);
      if (!stored || stored->size() != file->size + kFileSaltBytes)
        return fail(Errc::not_found, fmt::format("the content of {} did not come with the request", name),
                    "meshcli put file");
      continue;
    }
    if (content->second->size() != file->size + kFileSaltBytes)
      return fail(Errc::invalid, fmt::format("{} has {} bytes, not {}", name, content->second->size(),
                                             file->size + kFileSaltBytes));
    if (unused.erase(file->digest) > 0) blobs.push_back({file->digest, *content->second});
  }
  if (!unused.empty()) return fail(Errc::usage, "a file came with the request that it does not name");
  return blobs;
}

Status Controller::store(std::span<const Blob> blobs, const char* what) {
  if (blobs.empty()) return {};
  auto stored = log_->put_blobs(blobs);
  if (stored) return {};
  broken_ = stored.error().message;  // after a failed write the log takes no other
  return fail_in(what, stored.error());
}

void Controller::answer(const ReplyTo& to, Body body, std::optional<RequestId> request) {
  if (!staged_.empty()) return held_.push_back({to, std::move(body), request}), void();
  if (request) remember_answer(*request, body);
  send(to, std::move(body));
}

/// A retry gets the same answer while it is remembered, and a new decision after.
void Controller::remember_answer(const RequestId& request, const Body& body) {
  if (!answered_.emplace(request, body).second) return;
  answered_order_.push_back(request);
  if (answered_order_.size() <= kUnchangedMax) return;
  answered_.erase(answered_order_.front());
  answered_order_.erase(answered_order_.begin());
}

bool Controller::answer_retry(const ReplyTo& to, const RequestId& id) {
  if (auto same = answered_.find(id); same != answered_.end()) {
    send(to, same->second);
    return true;
  }
  if (auto same = std::ranges::find(held_, id, &Held::request); same != held_.end()) {
    held_.push_back({to, Body(same->body), id});
    return true;
  }
  auto known = state_.window->entries.find(id);
  if (known == state_.window->entries.end()) return false;
  auto waiting = std::find_if(staged_.begin(), staged_.end(),
                              [&](const Staged& s) { return s.request == id; });
  if (waiting != staged_.end()) {
    waiting->to.push_back(to);
    return true;
  }
  Sequence sequence = known->second;
  auto entries = log_->read(sequence, 1, 1);
  auto entry = entries && !entries->empty() ? decode_entry(entries->front())
                                            : fail(Errc::corrupt, "it cannot be read back");
  if (!entry || !entry->body)
    fail_to(to, {Errc::corrupt,
                 fmt::format("the request was accepted as entry {}, which is damaged",
                             sequence.value()),
                 "meshcli verify"});
  else
    send(to, Reply{sequence, entry->header.time, entry->body->events, {}});
  return true;
}

Result<Context> Controller::make_context(const Request& request, Now now) {
  Context context;
  context.time = std::max(now.wall, state_.time);
  for (const Command& command : request.commands) {
    if (const auto* confirm = std::get_if<ConfirmActivation>(&command)) {
      // Each command names its own; a request with several gets the targets of all, ascending.
      std::vector<NodeId> nodes = applied_nodes(confirm->activation), all;
      std::ranges::set_union(context.applied, nodes, std::back_inserter(all));
      context.applied = std::move(all);
    }
    const auto* commit = std::get_if<Commit>(&command);
    if (!commit) continue;
    auto shown = std::find_if(prepared_.begin(), prepared_.end(), [&](const PreparedCommit& p) {
      return p.at == commit->prepared_at && p.root == commit->root;
    });
    if (shown == prepared_.end())
      return fail(Errc::conflict, "what was prepared is no longer known here", "prepare again");
    // The configurations are stored before the entry that names them, so that every version can be
    // fetched.
    MESH_TRY(store(shown->blobs, "storing the configurations"));
    shown->blobs.clear();
    shown->bytes = 0;
    context.candidates = shown->rows;
  }
  return context;
}

Result<Controller::Staged*> Controller::stage(const SignedRequest& request, const Request& decoded, Now now,
                                              std::span<const Blob> files) {
  if (staged_.size() >= kStagedEntriesMax || staged_bytes_ >= kStagedBytesMax) {
    flush(now);
    if (!broken_.empty()) return fail(Errc::unavailable, "the log refuses writes: " + broken_);
  }
  auto context = make_context(decoded, now);
  if (!context) return std::unexpected(context.error());
  auto events = decide(state_, decoded, *context);
  if (!events) return std::unexpected(events.error());
  if (events->empty()) return nullptr;
  MESH_TRY(check_base(*events));
  auto entry_class = classify(decoded);
  EntryHeader header = make_header(state_, decoded, *entry_class, *context);
  EntryBody body{request, decoded, std::move(*context), std::move(*events)};
  EncodedEntry encoded = encode_entry(header, body);
  // The controller's own requests came through no codec: what no reader can decode must not be in the log.
  if (encoded.size() > kEntryBytesMax || request.bytes.size() > kRequestBytesMax)
    return fail(Errc::exhausted,
                fmt::format("the entry has {} bytes and its request {}, at most {} and {} are allowed",
                            encoded.size(), request.bytes.size(), kEntryBytesMax, kRequestBytesMax),
                "split the request");
  MESH_TRY(store(files, "storing the files"));
  evolve(state_, header, body);
  staged_bytes_ += encoded.size();
  staged_.push_back({std::move(encoded),
                     decoded.id,
                     Reply{header.sequence, header.time, std::move(body.events), {}},
                     {}});
  return &staged_.back();
}

Request Controller::own_request(std::vector<Command> commands) {
  Request request;
  request.log = state_.log;
  request.epoch = state_.epoch;
  request.principal = Principal::controller();
  request.id = options_.new_request_id();
  request.based_on = state_.sequence;
  request.commands = std::move(commands);
  request.origin = "controller";
  return request;
}

SignedRequest Controller::sign_own(Request& request) {
  SignedRequest out{encode_request(request), {}};
  out.signature = options_.sign(kRequestDomain, out.bytes);
  // Decoding fills what the encoding leaves out, so that this decides on what every reader will
  // see.
  if (auto decoded = decode_request(out.bytes)) request = std::move(*decoded);
  return out;
}

void Controller::flush(Now now) {
  if (!staged_.empty()) {
    std::vector<EncodedEntry> entries;
    std::vector<RequestId> ids;
    for (Staged& staged : staged_) {
      entries.push_back(std::move(staged.encoded));
      ids.push_back(staged.request);
    }
    auto head = log_->append(log_->head(), kTerm, entries, ids, note_signer(options_, state_));
    if (head)
      on_flushed(now);
    else
      fail_staged(head.error());
  }
  std::vector<Deferred> deferred = std::move(deferred_);
  deferred_.clear();
  // Joins decide something, the others read: first those, then nobody reads what is not durable.
  std::stable_partition(deferred.begin(), deferred.end(), [](const Deferred& item) {
    return !std::holds_alternative<Join>(item.body);
  });
  fetched_.clear();
  for (const Deferred& item : deferred) handle(item, now);
  // Joins and the like may have decided something: it becomes durable at once, not with the next
  // message.
  if (!staged_.empty()) return flush(now);
  settle_joins();
  subscriptions_.pump(*log_, anchored_, output_.frames);
}

void Controller::on_flushed(Now) {
  bool rights_changed = false;
  for (Staged& staged : staged_) {
    for (const Event& event : staged.reply.events) {
      rights_changed = rights_changed || std::holds_alternative<NodeEnrolled>(event) ||
                       std::holds_alternative<NodeRevoked>(event) ||
                       std::holds_alternative<NodeRemoved>(event) ||
                       std::holds_alternative<OperatorAdded>(event) ||
                       std::holds_alternative<OperatorBanned>(event);
      if (const auto* rejected = std::get_if<NodeRejected>(&event))
        waiting_.erase(rejected->fingerprint);
      if (const auto* anchor = std::get_if<AnchorSigned>(&event))
        if (auto bytes = log_->get_snapshot(anchor->sequence))
          anchored_ = Snapshot{anchor->sequence, std::move(*bytes)};
    }
    for (const ReplyTo& to : staged.to) send(to, staged.reply);
  }
  staged_.clear();
  bytes_since_snapshot_ += std::exchange(staged_bytes_, 0);
  for (Held& held : std::exchange(held_, {})) answer(held.to, std::move(held.body), held.request);
  if (rights_changed) rebuild_peers();
  if (snapshot_due()) save_snapshot();
}

void Controller::fail_staged(const Error& error) {
  broken_ = error.message;
  Error unknown = error;
  if (unknown.fix.empty())
    unknown.fix =
        "the outcome is unknown until the log is open again; the same request may be sent again";
  for (const Staged& staged : staged_)
    for (const ReplyTo& to : staged.to) fail_to(to, unknown);
  for (const Held& held : std::exchange(held_, {})) {
    if (held.to.session.enrolment)
      send(held.to, Refused{{Errc::unavailable, unknown.message, "try again later"}});
    else
      fail_to(held.to, unknown);
  }
  staged_.clear();
  staged_bytes_ = 0;
  // What was decided on top of what did not become durable is forgotten: back to what the log can
  // still read.
  if (auto loaded = load(); !loaded) broken_ += "; " + loaded.error().message;
}

void Controller::tick(Now now) {
  if (started_ms_ < 0) started_ms_ = now.mono_ms;
  if (!broken_.empty() && jobs_running_ == 0 && now.mono_ms >= next_reopen_ &&
      options_.worth_reopening()) {
    next_reopen_ = now.mono_ms + 2'000;
    past_.reset();
    log_.reset();  // a directory is opened once: the old one has to be closed first
    auto log = options_.reopen();
    if (!log) {
      fatal_ = log.error();
      return;
    }
    log_ = std::move(*log);
    past_ = std::make_unique<Past>(*log_);
    if (auto loaded = load(); loaded)
      broken_.clear();
    else
      broken_ = loaded.error().message;
  }
  if (!broken_.empty()) return;
  const bool writable = read_only().empty();
  if (writable) expire_tokens(now);
  if (writable && now.mono_ms >= next_report_ && !outcomes_.empty()) {
    next_report_ = now.mono_ms + 1'000;
    report_outcomes(now);
  }
  if (writable && broken_.empty()) settle_activations(now);
  std::erase_if(sessions_, [&](const auto& item) {
    return now.mono_ms - item.second.heard_ms > kQuietMs && !subscriptions_.contains(item.first);
  });
  std::erase_if(waiting_,
                [&](const auto& item) { return now.mono_ms - item.second.mono_ms > 60'000; });
  flush(now);
  if (now.mono_ms >= next_heartbeat_) {
    next_heartbeat_ = now.mono_ms + options_.heartbeat_ms;
    subscriptions_.heartbeat(*log_, output_.frames);
  }
  add_missing_snapshot();
}

void Controller::forget(const SessionId& session) {
  sessions_.erase(session);
  subscriptions_.forget(session);
}

Output Controller::take_output() { return std::exchange(output_, {}); }

}  // namespace mesh
