// Test vectors of the pre-shared keys, all in hex. Made by psk_vectors.py, which shares no code with the product.
#pragma once

#include <cstdint>

namespace mesh::test {

struct PskVector {
  const char* own_private;
  const char* peer_private;
  const char* peer_public;
  const char* log;
  uint32_t one, other;
  uint64_t epoch;
  const char* psk;
};

inline constexpr PskVector kPskVectors[] = {
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
     "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254",
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     11u, 12u, 0ull,
     "873da6b9b822c93b0b3eae8e725576e42ff6f19d2d5a4b1d62fd6532abbc1ec5"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
     "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254",
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     11u, 12u, 1ull,
     "a59c78c40da4e06b8ae2815b54b5b329e2658e834354e7179cb871bd2e64b827"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
     "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254",
     "00000000000000000000000000000000",
     11u, 12u, 1ull,
     "a59357f57cb303f00cdc5757c9bd24918eb9046a9808c252e1919db2d56100b3"},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     "e25590f9ef8be6d9ee5c01ee9c1a196f2f3c59ccad335c8283e1ccd57cb4a374",
     "042aa785f7671fe3b0839d336549e25943b8965b38a500902ab255a82061ce79",
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     4294967295u, 305419896u, 81985529216486895ull,
     "917d4b5aacaa1f65b6025ff7ffaa0cd435683792ebd738cc1b060b6a194997a1"},
    {"e25590f9ef8be6d9ee5c01ee9c1a196f2f3c59ccad335c8283e1ccd57cb4a374",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f",
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     10010u, 300u, 18446744073709551615ull,
     "d6a0940d9adca4518a713729ed303ff613e33b66db72712247e0f02131bcfb91"},
};

}  // namespace mesh::test
