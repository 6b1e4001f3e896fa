#include "broker/arrival.h"

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh {

Arrival read_frame(ByteView frame, const std::optional<SignKey>& signer) {
  Arrival out{0, decode_message(frame), {}, {}};
  out.correlation = out.message ? out.message->correlation : frame_correlation(frame);
  const auto* submit = out.message ? std::get_if<Submit>(&out.message->body) : nullptr;
  if (!submit) return out;
  const SignedRequest& bytes = submit->request;
  out.request = decode_request(bytes.bytes);
  if (*out.request && signer &&
      verify_signature(*signer, kRequestDomain, bytes.bytes, bytes.signature))
    out.checked = *signer;
  return out;
}

}  // namespace mesh
