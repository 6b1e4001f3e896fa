#include "written_log.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sodium.h>

#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "schemas/codec.h"

namespace mesh::test {

namespace {

template <class Array>
Array filled(uint8_t value) {
  Array out;
  out.bytes.fill(value);
  return out;
}

CreateLog genesis(const Signer& controller, const Signer& admin, const Signer& recovery, uint32_t rules) {
  CreateLog out;
  out.rules = rules;
  out.log_key = controller.key;
  out.controller_key = filled<BoxKey>(0x21);
  out.recovery_key = recovery.key;
  out.admin = "admin";
  out.admin_sign_key = admin.key;
  out.admin_box_key = filled<BoxKey>(0x22);
  out.endpoints = {"tcp://127.0.0.1:7400"};
  out.enrol_endpoints = {"tcp://127.0.0.1:7401"};
  out.profile = "default";
  out.loopbacknet_ipv4 = "100.66.0.0/16";
  out.loopbacknet_ipv6 = "fd12:3456:789a::/48";
  out.transfernet_ipv4 = "100.67.0.0/16";
  out.transfernet_ipv6 = "fe80::/64";
  out.bgp_as_base = 4'200'000'000;
  out.nonce = filled<Digest>(9);
  return out;
}

}  // namespace

Signer::Signer(uint8_t number) {
  std::array<uint8_t, 32> seed{};
  seed.fill(number);
  MESH_ASSERT(sodium_init() >= 0);
  crypto_sign_seed_keypair(key.bytes.data(), secret.data(), seed.data());
}

Signature Signer::sign(std::string_view domain, ByteView bytes) const {
  Bytes message(domain.begin(), domain.end());
  message.insert(message.end(), bytes.begin(), bytes.end());
  Signature out;
  crypto_sign_detached(out.bytes.data(), nullptr, message.data(), message.size(), secret.data());
  return out;
}

WrittenLog::WrittenLog(unsigned sites, uint32_t rules) {
  Request first = request(Principal::controller(), {genesis(controller_, admin_, recovery_, rules)});
  first.log = derive_log_id(std::get<CreateLog>(first.commands[0]));
  first.epoch = 1;
  decided(first, controller_, {});
  for (unsigned i = 1; i <= sites; ++i) {
    const auto site = fmt::format("s{}", i), node = fmt::format("r{}.s{}", i, i);
    append({AddSite{site}, AddNode{node}});
    append({SetAttribute{{Level::site, site}, "lans", fmt::format("10.{}.0.0/24", i)},
            SetAttribute{{Level::node, node}, "endpoint", fmt::format("192.0.2.{}", i)}});
  }
}

Request WrittenLog::request(const Principal& principal, std::vector<Command> commands) const {
  const auto& state = replicas_.back().state;
  Request out;
  out.log = state.log;
  out.epoch = state.epoch;
  out.principal = principal;
  const uint64_t number = entries_.size() + 1;
  std::memcpy(out.id.bytes.data(), &number, sizeof number);
  out.based_on = state.sequence;
  out.commands = std::move(commands);
  out.origin = "test";
  return out;
}

void WrittenLog::write(const Request& request, const Signer& signer, Context context, std::vector<Event> events,
                       uint32_t rules) {
  auto replica = replicas_.back();
  SignedRequest signed_request{encode_request(request), {}};
  signed_request.signature = signer.sign(kRequestDomain, signed_request.bytes);
  context.time = time();
  EntryHeader header;
  header.log = request.log;
  header.epoch = request.epoch;
  header.term = 1;
  header.sequence = next(replica.state.sequence);
  header.time = context.time;
  header.principal = request.principal;
  header.entry_class = classify(request).value();
  header.rules = rules > 0 ? rules : std::max<uint32_t>(replica.state.rules, 1);
  auto encoded = encode_entry(header, {signed_request, request, context, std::move(events)});
  const auto entry = decode_entry(encoded).value();
  evolve(replica.state, entry.header, *entry.body);
  replica.frontier.append(entry.leaf);
  replicas_.push_back(std::move(replica));
  entries_.push_back(std::move(encoded));
}

void WrittenLog::decided(const Request& request, const Signer& signer, Context context) {
  context.time = time();
  auto events = decide(replicas_.back().state, request, context);
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_FALSE(events->empty());
  write(request, signer, context, std::move(*events));
}

void WrittenLog::append(std::vector<Command> commands, const Context& context) {
  decided(request(Principal::human("admin"), std::move(commands)), admin_, context);
}

void WrittenLog::forge(std::vector<Command> commands, std::vector<Event> events) {
  write(request(Principal::human("admin"), std::move(commands)), admin_, {}, std::move(events));
}

void WrittenLog::append_newer(std::vector<Command> commands) {
  const auto signed_by_admin = request(Principal::human("admin"), std::move(commands));
  Context context;
  context.time = Timestamp(state().time.value() + 1);
  auto events = decide(state(), signed_by_admin, context).value();
  write(signed_by_admin, admin_, {}, std::move(events), kRulesNewest + 1);
}

void WrittenLog::admit(NodeId node, const Signer& signer, const WireGuardKey& wireguard) {
  const auto id = state().next_token;
  const Signer token(static_cast<uint8_t>(100 + id.value()));
  const auto name = state().find_node(node)->fullname();
  append({CreateToken{token.key, {Level::node, name}, 1, {}, false}});
  JoinStatement statement;
  statement.log = this->id();
  statement.node = name;
  statement.token = id;
  statement.sign_key = signer.key;
  statement.box_key = filled<BoxKey>(static_cast<uint8_t>(node.value()));
  statement.wireguard_key = wireguard;
  statement.hostname = name;
  SignedJoin join;
  join.statement = encode_join(statement);
  join.node_signature = signer.sign(kJoinDomain, join.statement);
  join.token_signature = token.sign(kJoinDomain, join.statement);
  decided(request(Principal::controller(), {AdmitNode{join, statement}}), controller_, {});
}

void WrittenLog::commit(const std::function<void(std::vector<VersionRow>&)>& change) {
  auto candidates = compile_candidates(state(), Scope{}, false, render);
  ASSERT_TRUE(candidates) << candidates.error().message;
  blobs.merge(candidates->contents);
  for (const auto& [node, config] : candidates->configs) {
    const auto text = config_text(config);
    blobs[sha256(as_bytes(text))] = Bytes(text.begin(), text.end());
  }
  Context context;
  context.candidates = candidates->rows;
  if (change) change(context.candidates);
  append({Commit{{}, state().sequence, version_rows_root(context.candidates), true, false}}, context);
}

void WrittenLog::activate(Version version) { append({Activate{{}, version}}); }
void WrittenLog::activate_confirmed(uint32_t seconds, std::vector<std::string> health, uint32_t for_s) {
  append({Activate{{}, {}, false, seconds, false, std::move(health), for_s}});
}
void WrittenLog::confirm(const std::vector<NodeId>& nodes) {
  Context context;
  context.applied = nodes;
  if (nodes.empty()) {
    for (const auto& row : state().pending.at(newest()).rows) context.applied.push_back(row.node);
  }
  append({ConfirmActivation{newest(), !nodes.empty()}}, context);
}
void WrittenLog::cancel() { append({CancelActivation{newest()}}); }
void WrittenLog::extend(uint32_t seconds) { append({ExtendActivation{newest(), seconds}}); }
void WrittenLog::expire() {
  late_us_ += int64_t{state().pending.at(newest()).seconds} * 1'000'000;
  decided(request(Principal::controller(), {ExpireActivation{newest()}}), controller_, {});
}
void WrittenLog::set(const std::string& name, AttributeValue value) {
  append({SetAttribute{{Level::node, "r1.s1"}, name, std::move(value)}});
}
void WrittenLog::revoke(NodeId node) { append({RevokeNode{state().find_node(node)->fullname()}}); }

void WrittenLog::cut(uint64_t size) {
  entries_.resize(size);
  replicas_.resize(size + 1);
}

void WrittenLog::start_epoch() {
  const auto& now = state();
  append({StartEpoch{now.epoch + 1, now.sequence, root(size()), NodeId(now.next_node.value() + 1000),
                     Version(now.version_floor.value() + 1000)}});
}

std::string WrittenLog::note(uint64_t size, const Digest& root) const {
  const auto origin = checkpoint_origin(id(), std::max(replicas_[size].state.epoch, 1u));
  const auto text = checkpoint_text({origin, size, root, {}});
  return sign_note(text, origin, controller_.key, [this](ByteView message) { return controller_.sign({}, message); });
}

Entries WrittenLog::range(uint64_t first, uint64_t last, bool checkpoint) const {
  Entries out;
  for (auto i = first; i <= last; ++i) out.entries.push_back(entries_[i - 1]);
  if (checkpoint) out.checkpoint = note(last);
  return out;
}

// --- the node ---

TestNode::TestNode(WrittenLog& log) : log_(log), wireguard_(SecretKey::random()) {
  log.admit(NodeId(11), signer_, wireguard_.public_key());
  prepare();
}

TestNode::TestNode(WrittenLog& log, const TestNode& same)
    : log_(log), wireguard_(SecretKey::from(same.wireguard_.view())) {
  prepare();
}

void TestNode::prepare() {
  ASSERT_TRUE(keys_.add(1, SecretKey::from(wireguard_.view())));
  options.history = {log_.id(), log_.log_key(), NodeId(11), {}};
  options.deployment = {log_.id(), NodeId(11), signer_.key, keys_.public_keys(),
                        [this](std::string_view domain, ByteView bytes) { return signer_.sign(domain, bytes); },
                        "boot"};
  options.fullname = "r1.s1";
  options.program = "test";
  start();
}

void TestNode::start() {
  agent_.reset();
  store_ = std::make_unique<ReplicaStore>(disk_);
  EXPECT_TRUE(store_->open());
  agent_ = std::make_unique<Agent>(options, *store_, router_);
  agent_->boot(now_);
  EXPECT_TRUE(agent_->load(now_));
}

void TestNode::reboot(bool lucky) {
  disk_.crash(lucky);
  EXPECT_TRUE(router_.reboot());
  options.deployment.boot_id += "+";
  now_ = 1'000;  // the clock counts from the boot
  start();
}

void TestNode::restart() {
  disk_.crash(true);
  router_.program_restarted();
  start();
}

bool TestNode::try_start() {
  agent_.reset();
  store_ = std::make_unique<ReplicaStore>(disk_);
  if (!store_->open()) return false;
  agent_ = std::make_unique<Agent>(options, *store_, router_);
  agent_->boot(now_);
  (void)agent_->load(now_);
  return true;
}

void TestNode::connect() { agent_->connected(now_); }
void TestNode::disconnect() { agent_->disconnected(now_); }
void TestNode::give(const Body& body) { agent_->receive(encode_message({0, body}), now_); }

void TestNode::follow(uint64_t last) {
  if (last == 0) last = log_.size();
  const auto head = agent_->history().head().value();
  if (head < last) give(log_.range(head + 1, last, true));
}

void TestNode::follow(const WrittenLog& other) {
  const auto head = agent_->history().head().value();
  if (head < other.size()) give(other.range(head + 1, other.size(), true));
}

void TestNode::pass(int64_t milliseconds) {
  for (int64_t step = 0; step < milliseconds; step += 250) {
    now_ += 250;
    agent_->tick(now_);
  }
}

size_t TestNode::serve() {
  size_t came = 0;
  for (auto asked = sent_of<Fetch>(); !asked.empty(); asked = sent_of<Fetch>())
    for (const auto& fetch : asked) {
      const auto blob = log_.blobs.find(fetch.digest);
      if (blob == log_.blobs.end()) continue;
      ++came;
      give(BlobChunk{fetch.digest, 0, blob->second.size(), blob->second});
    }
  return came;
}

std::vector<Body> TestNode::sent() {
  std::vector<Body> out;
  for (const auto& frame : agent_->take_frames()) out.push_back(decode_message(frame).value().body);
  return out;
}

}  // namespace mesh::test
