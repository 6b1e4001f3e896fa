// Claim: roots, proofs, checkpoints, notes, cosignatures, verifier keys and tlog-proofs are, byte
// for byte, those that an independent implementation computes. Method: every line of vectors.txt,
// which vectors.py made with hashlib and openssl, is made again here, and every proof and signature
// in it is checked; a ctest of its own runs vectors.py again.
#include <gtest/gtest.h>
#include <sodium.h>

#include <fstream>
#include <map>
#include <sstream>

#include "eventstore/model/checkpoint.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/merkle.h"

namespace mesh {
namespace {

constexpr uint64_t kLeaves = 40;

std::string header(uint64_t index) { return "header " + std::to_string(index); }

struct Tree {
  std::map<std::pair<unsigned, uint64_t>, Digest> hashes;
  MerkleFrontier frontier;
  std::vector<Digest> roots{MerkleFrontier().root()};
  Tree() {
    for (uint64_t i = 0; i < kLeaves; ++i) {
      frontier.append(leaf_hash(as_bytes(header(i))),
                      [&](unsigned level, uint64_t index, const Digest& hash) { hashes[{level, index}] = hash; });
      roots.push_back(frontier.root());
    }
  }
  HashReader reader() const {
    return [this](unsigned level, uint64_t index) -> Result<Digest> { return hashes.at({level, index}); };
  }
};

SignFunction signer(uint8_t first) {
  std::array<uint8_t, crypto_sign_SEEDBYTES> seed;
  for (size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<uint8_t>(first + i);
  std::array<uint8_t, crypto_sign_PUBLICKEYBYTES> key;
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> secret;
  crypto_sign_seed_keypair(key.data(), secret.data(), seed.data());
  return [secret](ByteView message) {
    Signature out;
    crypto_sign_detached(out.bytes.data(), nullptr, message.data(), message.size(), secret.data());
    return out;
  };
}

std::string decoded(const std::string& text) {
  const Bytes bytes = from_base64(text).value();
  return std::string(bytes.begin(), bytes.end());
}

struct Vectors : testing::Test {
  Tree tree;
  std::string origin, note;
  SignKey key;
  uint64_t size = 0;
  int seen = 0;

  std::vector<Digest> rest(std::istringstream& line) {
    std::vector<Digest> out;
    for (std::string hash; line >> hash;) out.push_back(array_from_hex<Digest>(hash).value());
    return out;
  }
  void check(const std::string& kind, std::istringstream& line) {
    ++seen;
    uint64_t first = 0, second = 0;
    std::string text;
    if (kind == "root") {
      line >> first >> text;
      EXPECT_EQ(to_hex(tree.roots.at(first).view()), text) << first;
    } else if (kind == "inclusion") {
      line >> first >> second;
      const auto proof = rest(line);
      EXPECT_EQ(inclusion_proof(first, second, tree.reader()).value(), proof) << first << " " << second;
      EXPECT_TRUE(verify_inclusion(leaf_hash(as_bytes(header(first))), first, second, proof, tree.roots[second]));
    } else if (kind == "consistency") {
      line >> first >> second;
      const auto proof = rest(line);
      EXPECT_EQ(consistency_proof(first, second, tree.reader()).value(), proof) << first << " " << second;
      EXPECT_TRUE(verify_consistency(first, tree.roots[first], second, tree.roots[second], proof));
    } else if (kind == "key") {
      std::string hex;
      line >> origin >> hex >> text;
      key = array_from_hex<SignKey>(hex).value();
      EXPECT_EQ(verifier_key(origin, key), text);
    } else if (kind == "note") {
      line >> first >> size >> text;
      note = decoded(text);
      const LogId log = array_from_hex<LogId>("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf").value();
      EXPECT_EQ(checkpoint_origin(log, static_cast<uint32_t>(first)), origin);
      EXPECT_EQ(origin_epoch(origin, log).value(), first);
      const auto checkpoint = open_checkpoint(note, log, key);
      ASSERT_TRUE(checkpoint) << checkpoint.error().message;
      EXPECT_EQ(checkpoint->size, size);
      EXPECT_EQ(checkpoint->root, tree.roots[size]);
      EXPECT_EQ(sign_note(checkpoint_text(*checkpoint), origin, key, signer(0)), note);
    } else if (kind == "cosigned") {
      std::string name, hex;
      line >> name >> hex >> text;
      const SignKey witness = array_from_hex<SignKey>(hex).value();
      EXPECT_EQ(add_note_signature(note, name, witness, signer(100)).value(), decoded(text));
      EXPECT_TRUE(open_note(decoded(text), name, witness));
      EXPECT_TRUE(open_checkpoint(decoded(text), origin, key));
    } else if (kind == "proof") {
      line >> first >> second >> text;
      const auto proof = inclusion_proof(first, second, tree.reader()).value();
      EXPECT_EQ(inclusion_proof_text(first, proof, as_bytes(header(first)), note), decoded(text));
    } else {
      ADD_FAILURE() << "what is " << kind << "?";
    }
  }
};

TEST_F(Vectors, AreAllMadeAgainByteForByte) {
  std::ifstream file(MESH_SOURCE_DIR "/tests/unit/model_proofs/vectors.txt");
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string kind;
    line >> kind;
    check(kind, line);
  }
  EXPECT_EQ(seen, 105);
}

TEST_F(Vectors, NotesInOneFileAreToldApart) {
  std::ifstream file(MESH_SOURCE_DIR "/tests/unit/model_proofs/vectors.txt");
  std::vector<std::string> notes;
  for (std::string text; std::getline(file, text);)
    if (text.starts_with("note ") || text.starts_with("cosigned "))
      notes.push_back(decoded(text.substr(text.rfind(' ') + 1)));
  ASSERT_EQ(notes.size(), 6u);
  for (const std::string between : {"", "\n", "\n\n\n"}) {
    std::string joined = between;
    for (const std::string& each : notes) joined += each + between;
    EXPECT_EQ(split_notes(joined), notes);
  }
  EXPECT_TRUE(split_notes("").empty());
  EXPECT_TRUE(split_notes("\n\n").empty());
}

}  // namespace
}  // namespace mesh
