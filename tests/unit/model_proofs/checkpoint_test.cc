// Claim: notes and checkpoints are byte for byte those of C2SP signed-note and tlog-checkpoint, any
// one bit of a note matters, and malformed ones are refused with a reason. Method: a vector of Go's
// reference implementation; a vector of our own computed independently; then every bit of a note
// flipped, and a table of malformed notes.
#include "eventstore/model/checkpoint.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

struct KeyPair {
  SignKey key;
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret;

  explicit KeyPair(uint8_t first) {
    std::array<uint8_t, crypto_sign_SEEDBYTES> seed;
    for (size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<uint8_t>(first + i);
    crypto_sign_seed_keypair(key.bytes.data(), secret.data(), seed.data());
  }
  SignFunction signer() const {
    return [this](ByteView message) {
      Signature out;
      crypto_sign_detached(out.bytes.data(), nullptr, message.data(), message.size(),
                           secret.data());
      return out;
    };
  }
};

// Computed with python3: RFC 8032's reference code in place of a library (seed = bytes 00 to 1f),
// hashlib.sha256 and base64:
//   key_hash = sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]
//   line = "\u2014 " + name + " " + base64.b64encode(key_hash + ed25519_sign(seed,
//   text.encode())).decode()
// The root is that of the Certificate Transparency reference tree of 8 leaves.
constexpr std::string_view kOrigin = "meshlog/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/0";
constexpr std::string_view kText =
    "meshlog/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/0\n"
    "8\n"
    "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
    "state 4ba69735ca53765ed6a709edb56c6ea236b7193a3b29a6b390c346f0f4340e4e at 5\n";
constexpr std::string_view kSignatureLine =
    "\xe2\x80\x94 meshlog/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/0 "
    "51QBgxVQLHkjd2VJkvU1xoudbip/NTqI9JtRKyMloziJ1/"
    "ivDYV4Znr4sm4k4wQYuEZcRE/NwTHZI0bnM0j3jzaYigg=\n";

Checkpoint example() {
  LogId log;
  for (uint8_t i = 0; i < 16; ++i) log.bytes[i] = static_cast<uint8_t>(0xa0 + i);
  return {checkpoint_origin(log, 0),
          8,
          array_from_hex<Digest>("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")
              .value(),
          {"state " + to_hex(sha256(as_bytes("state")).view()) + " at 5"}};
}

std::string example_note() { return std::string(kText) + "\n" + std::string(kSignatureLine); }

TEST(Checkpoint, HasTheBytesOfTheIndependentVector) {
  const KeyPair pair(0);
  EXPECT_EQ(to_hex(pair.key.view()),
            "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
  EXPECT_EQ(checkpoint_text(example()), kText);
  EXPECT_EQ(sign_note(kText, kOrigin, pair.key, pair.signer()), example_note());
  EXPECT_EQ(open_checkpoint(example_note(), kOrigin, pair.key).value(), example());
  EXPECT_EQ(parse_checkpoint_text(kText).value(), example());
  EXPECT_EQ(parse_checkpoint_text(example_note()).value(), example());
}

// The example of golang.org/x/mod/sumdb/note's documentation.
TEST(SignedNote, OpensANoteOfTheReferenceImplementation) {
  const auto encoded = from_base64("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").value();
  const auto key = SignKey::from(ByteView(encoded).subspan(1)).value();
  const std::string text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your "
      "problem is.\n";
  const std::string note =
      text +
      "\n\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSN"
      "XgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  EXPECT_EQ(open_note(note, "PeterNeumann", key).value(), text);
}

TEST(SignedNote, CarriesSignaturesOfSeveralKeys) {
  const KeyPair log(0), witness(7), stranger(99);
  const auto note =
      add_note_signature(example_note(), "witness.example", witness.key, witness.signer());
  ASSERT_TRUE(note);
  EXPECT_EQ(open_note(*note, kOrigin, log.key).value(), kText);
  EXPECT_EQ(open_note(*note, "witness.example", witness.key).value(), kText);
  EXPECT_EQ(open_note(*note, "witness.example", stranger.key).error().code, Errc::corrupt);
  EXPECT_EQ(open_note(*note, "another", witness.key).error().code, Errc::corrupt);
  EXPECT_EQ(add_note_signature("no note", "w", witness.key, witness.signer()).error().code,
            Errc::corrupt);
}

TEST(SignedNote, ATextMayHoldBlankLines) {
  const KeyPair pair(3);
  const std::string text = "first\n\nsecond\n";
  EXPECT_EQ(open_note(sign_note(text, "n", pair.key, pair.signer()), "n", pair.key).value(), text);
}

TEST(SignedNote, NoBitCanBeFlipped) {
  const KeyPair pair(0);
  const std::string note = example_note();
  for (size_t bit = 0; bit < note.size() * 8; ++bit) {
    std::string flipped = note;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto opened = open_checkpoint(flipped, kOrigin, pair.key);
    ASSERT_FALSE(opened) << "bit " << bit;
    ASSERT_EQ(opened.error().code, Errc::corrupt);
  }
}

TEST(SignedNote, ASignatureHasOneSpelling) {
  EXPECT_TRUE(from_base64("AAAA"));
  EXPECT_FALSE(
      from_base64("\xc1"
                  "AAA"));
  EXPECT_FALSE(from_base64("AAB="));  // bits after the last byte
  EXPECT_FALSE(from_base64("AAA"));
}

TEST(SignedNote, NoPrefixIsANote) {
  const KeyPair pair(0);
  const std::string note = example_note();
  for (size_t size = 0; size < note.size(); ++size)
    ASSERT_FALSE(open_note(std::string_view(note).substr(0, size), kOrigin, pair.key)) << size;
}

TEST(SignedNote, MalformedOnesAreRefused) {
  const KeyPair pair(0);
  const std::string text(kText), line(kSignatureLine);
  std::string many = text + "\n";
  for (int i = 0; i < 101; ++i) many += line;
  for (const std::string& note : {
           std::string(),
           text,
           text + line,                                     // no blank line
           text + "\n",                                     // no signature
           text + "\n" + line.substr(0, line.size() - 1),   // cut
           text + "\n- " + line.substr(4),                  // a hyphen for the em dash
           text + "\n\xe2\x80\x94 name\n",                  // no signature after the name
           text + "\n\xe2\x80\x94  AAAAAAAA\n" + line,      // no name
           text + "\n\xe2\x80\x94 name AAAA=\n" + line,     // not base64
           text + "\n\xe2\x80\x94 name AAAAAA==\n" + line,  // only a key id
           text + "\r\n" + "\n" + line,
           many,
       }) {
    const auto opened = open_note(note, kOrigin, pair.key);
    ASSERT_FALSE(opened) << note;
    EXPECT_EQ(opened.error().code, Errc::corrupt);
  }
}

TEST(Checkpoint, MalformedTextsAreRefusedEvenWhenSigned) {
  const KeyPair pair(0);
  const std::string origin(kOrigin), root = "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=";
  for (const std::string& text : {
           std::string("\n"),
           origin + "\n8\n",
           "\n8\n" + root + "\n",
           origin + "\n08\n" + root + "\n",
           origin + "\n+8\n" + root + "\n",
           origin + "\n-8\n" + root + "\n",
           origin + "\n8 \n" + root + "\n",
           origin + "\n\n" + root + "\n",
           origin + "\n18446744073709551616\n" + root + "\n",
           origin + "\n8\n" + root.substr(0, 43) + "\n",
           origin + "\n8\nAAAA\n",
           origin + "\n8\n" + root + "\n\nextension\n",
           "meshlog/other/0\n8\n" + root + "\n",
       }) {
    const auto note = sign_note(text, kOrigin, pair.key, pair.signer());
    const auto opened = open_checkpoint(note, kOrigin, pair.key);
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, Errc::corrupt);
  }
}

TEST(Checkpoint, KeepsTheLargestAndTheSmallestSize) {
  for (const uint64_t size : {uint64_t{0}, ~uint64_t{0}}) {
    Checkpoint checkpoint = example();
    checkpoint.size = size;
    checkpoint.extensions.clear();
    EXPECT_EQ(parse_checkpoint_text(checkpoint_text(checkpoint)).value(), checkpoint);
  }
}

}  // namespace
}  // namespace mesh
