// mesh_forge DIR HOW [SEQUENCE [OTHER]]: changes a stopped controller's log as a thief would.
//
// With the controller's keys, and everything made consistent again (hashes, tree, checkpoint):
//   lie TOKEN           adds an entry at the moment when TOKEN has expired, whose request rightly says so, and whose
//                       event does not follow from it
//   event SEQUENCE      an event of an entry says something else than its request
//   rewrite SEQUENCE    request and event say something else, under the signature that was there
//   resign SEQUENCE     the same, signed anew, by the log's key
//   signature SEQUENCE  the signature has another bit
//   remove SEQUENCE     the entry is not there, the later ones are numbered anew
//   swap SEQUENCE       this entry and the next one have changed places
//   cut SEQUENCE        nothing follows this entry
// With the disk alone; checksums of records are made again, the tree is as it was:
//   raw-signature, raw-remove, raw-swap SEQUENCE
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>

#include "broker/bus/keys.h"
#include "eventstore/log/records.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh {
namespace {

using Entries = std::vector<Entry>;

Result<Entries> read_all(const std::filesystem::path& data) {
  auto log = RocksEventLog::open_read_only(data / "log");
  if (!log) return std::unexpected(log.error());
  auto encoded = (*log)->read(Sequence(1), SIZE_MAX, SIZE_MAX);
  if (!encoded) return std::unexpected(encoded.error());
  Entries out;
  for (const EncodedEntry& one : *encoded) {
    auto entry = decode_entry(one);
    if (!entry) return std::unexpected(entry.error());
    out.push_back(std::move(*entry));
  }
  return out;
}

/// Puts a log of these entries, numbered anew, in the place of the one that is there.
Status write_all(const std::filesystem::path& data, const Entries& entries) {
  auto key = SignSecret::load(data / "log.key");
  if (!key) return std::unexpected(key.error());
  std::filesystem::remove_all(data / "log");
  const LogId id = entries.front().header.log;
  auto log = RocksEventLog::create(data / "log", id);
  if (!log) return std::unexpected(log.error());
  const std::string origin = checkpoint_origin(id, 1);
  auto sign = [&](uint64_t size, const Digest& root) {
    return sign_note(checkpoint_text({origin, size, root, {}}), origin, key->public_key(),
                     [&](ByteView message) { return key->sign({}, message); });
  };
  std::vector<EncodedEntry> encoded;
  std::vector<RequestId> requests;
  for (const Entry& entry : entries) {
    EntryHeader header = entry.header;
    header.sequence = Sequence(encoded.size() + 1);
    encoded.push_back(encode_entry(header, *entry.body));
    requests.push_back(entry.body->request.id);
  }
  auto head = (*log)->append({}, entries.back().header.term, encoded, requests, sign);
  if (!head) return std::unexpected(head.error());
  return {};
}

void say_something_else(EntryBody& body, bool in_the_request) {
  const AttributeValue forged(std::string("forged"));
  for (Event& event : body.events)
    if (auto* set = std::get_if<AttributeSet>(&event)) set->value = forged;
  if (!in_the_request) return;
  for (Command& command : body.request.commands)
    if (auto* set = std::get_if<SetAttribute>(&command)) set->value = forged;
  body.signed_request.bytes = encode_request(body.request);
}

Status add_a_lie(const std::filesystem::path& data, Entries& entries, TokenId token) {
  auto key = SignSecret::load(data / "log.key");
  if (!key) return std::unexpected(key.error());
  Entry lie = entries.back();
  lie.header.sequence = next(lie.header.sequence);
  lie.header.principal = Principal::controller();
  lie.header.entry_class = EntryClass::intent;
  for (const Entry& entry : entries)
    for (const Event& event : entry.body->events)
      if (const auto* created = std::get_if<TokenCreated>(&event); created && created->token == token)
        lie.header.time = created->expires;
  Request request;
  request.log = lie.header.log;
  request.epoch = 1;
  request.principal = Principal::controller();
  request.id = random_array<RequestId>();
  request.based_on = entries.back().header.sequence;
  request.commands = {ExpireToken{token}};
  request.origin = "controller";
  SignedRequest signed_request{encode_request(request), {}};
  signed_request.signature = key->sign(kRequestDomain, signed_request.bytes);
  const Context context{lie.header.time, {}};
  const Event event = AttributeSet{Scope{}, "bgp_as_base", {}, AttributeValue(int64_t{4'200'100'000})};
  lie.body = EntryBody{signed_request, request, context, {event}};
  entries.push_back(std::move(lie));
  return {};
}

Status forge_with_key(const std::filesystem::path& data, const std::string& how, uint64_t number) {
  auto entries = read_all(data);
  if (!entries) return std::unexpected(entries.error());
  if (how == "lie") {
    MESH_TRY(add_a_lie(data, *entries, TokenId(number)));
    return write_all(data, *entries);
  }
  if (number < 2 || number >= entries->size()) return fail(Errc::usage, "no such entry to forge");
  const auto at = entries->begin() + static_cast<ptrdiff_t>(number - 1);
  if (how == "event") {
    say_something_else(*at->body, false);
  } else if (how == "rewrite" || how == "resign") {
    say_something_else(*at->body, true);
    if (how == "resign") {
      auto key = SignSecret::load(data / "log.key");
      if (!key) return std::unexpected(key.error());
      at->body->signed_request.signature = key->sign(kRequestDomain, at->body->signed_request.bytes);
    }
  } else if (how == "signature") {
    at->body->signed_request.signature.bytes[10] ^= 4;
  } else if (how == "remove") {
    entries->erase(at);
  } else if (how == "swap") {
    std::iter_swap(at, at + 1);
  } else if (how == "cut") {
    entries->erase(at + 1, entries->end());
  } else {
    return fail(Errc::usage, "unknown: " + how);
  }
  return write_all(data, *entries);
}

std::string stored(const std::string& key, const EncodedEntry& entry) {
  std::string value = records::encode_u32(static_cast<uint32_t>(entry.header.size()));
  value += as_text(entry.header);
  value += as_text(entry.body);
  return records::seal(key, {value}) + value;
}

Status forge_raw(const std::filesystem::path& data, const std::string& how, uint64_t number) {
  auto entries = read_all(data);
  if (!entries) return std::unexpected(entries.error());
  const auto encoded = [&](uint64_t sequence) {
    const Entry& entry = entries->at(sequence - 1);
    return encode_entry(entry.header, *entry.body);
  };
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::DB* opened = nullptr;
  const auto status = rocksdb::DB::Open({}, (data / "log").string(), &opened);
  if (!status.ok()) return fail(Errc::io, status.ToString());
  db.reset(opened);
  rocksdb::WriteBatch batch;
  const std::string key = records::entry_key(Sequence(number));
  if (how == "raw-remove") {
    batch.Delete(key);
  } else if (how == "raw-signature") {
    entries->at(number - 1).body->signed_request.signature.bytes[10] ^= 4;
    batch.Put(key, stored(key, encoded(number)));
  } else if (how == "raw-swap") {
    const std::string other = records::entry_key(Sequence(number + 1));
    batch.Put(key, stored(key, encoded(number + 1)));
    batch.Put(other, stored(other, encoded(number)));
  } else {
    return fail(Errc::usage, "unknown: " + how);
  }
  const auto written = db->Write({}, &batch);
  const auto flushed = db->Flush({});
  return written.ok() && flushed.ok() ? Status() : fail(Errc::io, written.ToString() + flushed.ToString());
}

}  // namespace
}  // namespace mesh

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  const std::string how = argv[2];
  const uint64_t number = std::strtoull(argv[3], nullptr, 10);
  const auto forged = how.starts_with("raw-") ? mesh::forge_raw(argv[1], how, number)
                                              : mesh::forge_with_key(argv[1], how, number);
  if (forged) return 0;
  std::fprintf(stderr, "%s\n", forged.error().message.c_str());
  return 1;
}
