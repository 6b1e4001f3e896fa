// SHA-256 (FIPS 180-4): with the processor's instructions where it has them, else libsodium's.
//
// Every entry is hashed five times on its way (leaf, request, context, events, tree). libsodium has
// no hardware path: 1.4 to 2.0 us for each of those, the instructions a fifth of it. Rejected:
// OpenSSL, which has one, as a dependency of the core for a hundred lines.
#include <sodium.h>

#include <algorithm>
#include <new>

#include "eventstore/model/crypto.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace mesh {

namespace {

using State = crypto_hash_sha256_state;  // words, length in bits, unfinished block
static_assert(sizeof(State) <= 128);

constexpr size_t kBlock = sizeof(State::buf);

#if defined(__x86_64__)

alignas(16) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/// SHA, and SSE4.1 with what comes before it (CPUID leaves 7 and 1).
bool has_instructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1)) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

#define MESH_SHA __attribute__((target("sha,sse4.1")))

MESH_SHA __m128i load(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}
MESH_SHA void store(void* to, __m128i value) { _mm_storeu_si128(static_cast<__m128i*>(to), value); }

/// The instructions want the eight words as ABEF and CDGH instead of ABCD and EFGH.
MESH_SHA void compress(uint32_t* words, const uint8_t* data, size_t blocks) {
  const __m128i kBigEndian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i cdab = _mm_shuffle_epi32(load(words), 0xb1);
  __m128i efgh = _mm_shuffle_epi32(load(words + 4), 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; blocks > 0; --blocks, data += kBlock) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i message[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) message[i] = _mm_shuffle_epi8(load(data + 16 * i), kBigEndian);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const __m128i current = message[i % 4];
      __m128i four = _mm_add_epi32(current, load(kRound + 4 * i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, four);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(four, 0x0e));
      if (i >= 12) continue;
      const __m128i last = message[(i + 3) % 4];
      __m128i next = _mm_sha256msg1_epu32(current, message[(i + 1) % 4]);
      next = _mm_add_epi32(next, _mm_alignr_epi8(last, message[(i + 2) % 4], 4));
      message[i % 4] = _mm_sha256msg2_epu32(next, last);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  store(words, _mm_blend_epi16(feba, dchg, 0xf0));
  store(words + 4, _mm_alignr_epi8(dchg, feba, 8));
}

const bool kHardware = has_instructions();

#else

void compress(uint32_t*, const uint8_t*, size_t) {}
constexpr bool kHardware = false;

#endif

/// libsodium's update and final over the same state, with our compress.
void update(State& state, ByteView bytes) {
  size_t used = state.count / 8 % kBlock;
  state.count += 8 * bytes.size();
  if (used > 0) {
    size_t taken = std::min(kBlock - used, bytes.size());
    std::copy_n(bytes.begin(), taken, state.buf + used);
    bytes = bytes.subspan(taken);
    if (used + taken < kBlock) return;
    compress(state.state, state.buf, 1);
  }
  compress(state.state, bytes.data(), bytes.size() / kBlock);
  bytes = bytes.subspan(bytes.size() / kBlock * kBlock);
  std::ranges::copy(bytes, state.buf);
}

Digest finish_with(State& state) {
  const uint64_t bits = state.count;
  uint8_t padding[kBlock + 8] = {0x80};
  size_t used = bits / 8 % kBlock;
  size_t size = (used < kBlock - 8 ? kBlock : 2 * kBlock) - used;
  for (size_t i = 0; i < 8; ++i) padding[size - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  update(state, ByteView(padding, size));
  Digest out;
  for (size_t i = 0; i < Digest::kSize; ++i)
    out.bytes[i] = static_cast<uint8_t>(state.state[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

State& state_of(uint8_t* storage) { return *std::launder(reinterpret_cast<State*>(storage)); }

}  // namespace

Sha256::Sha256() { crypto_hash_sha256_init(new (state_) State); }

Sha256& Sha256::add(ByteView bytes) {
  if (bytes.empty()) return *this;
  if (kHardware)
    update(state_of(state_), bytes);
  else
    crypto_hash_sha256_update(&state_of(state_), bytes.data(), bytes.size());
  return *this;
}

Digest Sha256::finish() {
  if (kHardware) return finish_with(state_of(state_));
  Digest out;
  crypto_hash_sha256_final(&state_of(state_), out.bytes.data());
  return out;
}

Digest sha256(ByteView bytes) { return Sha256().add(bytes).finish(); }

}  // namespace mesh
