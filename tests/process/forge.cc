// mesh_forge DIR TOKEN: adds to a stopped controller's log one entry that lies: the envelope, the hashes, the tree
// and the checkpoint are valid, and so is the request (TOKEN has expired), but its events do not follow from it.
// What a thief of the controller could write.
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "broker/bus/keys.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh {
namespace {

Status forge(const std::filesystem::path& data, TokenId token) {
  auto key = SignSecret::load(data / "log.key");
  auto log = RocksEventLog::open(data / "log");
  if (!key) return std::unexpected(key.error());
  if (!log) return std::unexpected(log.error());
  auto first = (*log)->read(Sequence(1), 1, 1);
  auto last = (*log)->read((*log)->head(), 1, 1);
  if (!first || !last) return fail(Errc::io, "the log cannot be read");
  auto before = decode_entry(last->front());
  if (!before) return std::unexpected(before.error());

  Request request;
  request.log = (*log)->id();
  request.epoch = 1;
  request.principal = Principal::controller();
  request.id = random_array<RequestId>();
  request.based_on = (*log)->head();
  request.commands = {ExpireToken{token}};
  request.origin = "controller";
  SignedRequest signed_request{encode_request(request), {}};
  signed_request.signature = key->sign(kRequestDomain, signed_request.bytes);
  EntryHeader header = before->header;
  header.sequence = next(header.sequence);
  header.principal = request.principal;
  header.entry_class = EntryClass::intent;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  header.time = Timestamp(now.tv_sec * 1'000'000);
  Context context{header.time, {}};
  std::vector<Event> lie{AttributeSet{Scope{}, "bgp_as_base", {}, AttributeValue(int64_t{4'200'100'000})}};
  EncodedEntry encoded = encode_entry(header, {signed_request, request, context, lie});
  std::string origin = checkpoint_origin(request.log, 1);
  auto sign = [&](uint64_t size, const Digest& root) {
    return sign_note(checkpoint_text({origin, size, root, {}}), origin, key->public_key(),
                     [&](ByteView message) { return key->sign({}, message); });
  };
  auto head = (*log)->append((*log)->head(), header.term, {&encoded, 1}, {&request.id, 1}, sign);
  if (!head) return std::unexpected(head.error());
  return {};
}

}  // namespace
}  // namespace mesh

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  if (auto forged = mesh::forge(argv[1], mesh::TokenId(std::strtoull(argv[2], nullptr, 10))); !forged) {
    std::fprintf(stderr, "%s\n", forged.error().message.c_str());
    return 1;
  }
  return 0;
}
