// Claim: pre-shared keys follow the published layout and are the same at both ends; private keys
// survive on disk, readable only by their owner, and what is not such a key is refused. Method:
// vectors computed by another implementation; real files in a temporary directory.
#include "nodes/dataplane/tunnel_keys.h"

#include <gtest/gtest.h>
#include <sodium.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/dataplane/psk_vectors.h"

namespace mesh {
namespace {

SecretKey secret(const char* hex) { return std::move(*SecretKey::from_hex(hex)); }

PskLabel label_of(const test::PskVector& v) {
  return {*array_from_hex<LogId>(v.log), NodeId(v.one), NodeId(v.other), v.epoch};
}

class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mesh-keys-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(Psk, MatchesThePublishedVectors) {
  for (const auto& v : test::kPskVectors) {
    auto psk = derive_psk(secret(v.own_private), *array_from_hex<WireGuardKey>(v.peer_public),
                          label_of(v));
    ASSERT_TRUE(psk);
    EXPECT_EQ(to_hex(psk->view()), v.psk);
  }
}

TEST(Psk, BothEndsDeriveTheSame) {
  for (const auto& v : test::kPskVectors) {
    PskLabel there = label_of(v);
    std::swap(there.one, there.other);
    auto psk = derive_psk(secret(v.peer_private), secret(v.own_private).public_key(), there);
    ASSERT_TRUE(psk);
    EXPECT_EQ(to_hex(psk->view()), v.psk);
  }
}

TEST(Psk, EveryPartOfTheLabelMatters) {
  const auto& v = test::kPskVectors[0];
  SecretKey own = secret(v.own_private);
  auto peer = *array_from_hex<WireGuardKey>(v.peer_public);
  PskLabel base = label_of(v);
  std::vector<PskLabel> others(4, base);
  others[0].log.bytes[15] ^= 1;
  others[1].one = NodeId(base.one.value() + 100);
  others[2].other = NodeId(base.other.value() + 1);
  others[3].epoch += uint64_t{1} << 63;
  for (const PskLabel& label : others)
    EXPECT_FALSE(derive_psk(own, peer, label)->equals(*derive_psk(own, peer, base)));
}

TEST(Psk, APublicKeyOfLowOrderIsAnError) {
  SecretKey own = secret(test::kPskVectors[0].own_private);
  // 0, 1 and p-1 (RFC 7748, section 6.1; cr.yp.to/ecdh.html).
  for (const char* hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    auto psk = derive_psk(own, *array_from_hex<WireGuardKey>(hex), {});
    ASSERT_FALSE(psk);
    EXPECT_EQ(psk.error().code, Errc::invalid);
  }
}

TEST(SecretKey, TextIsReadBackAndAnythingElseIsRefused) {
  SecretKey key = SecretKey::random();
  EXPECT_TRUE(SecretKey::from_hex(key.hex())->equals(key));
  EXPECT_TRUE(SecretKey::from_base64(key.base64())->equals(key));
  EXPECT_FALSE(SecretKey::from_hex(std::string(62, 'a')));
  EXPECT_FALSE(SecretKey::from_hex(std::string(66, 'a')));
  EXPECT_FALSE(SecretKey::from_hex(std::string(64, 'g')));
  EXPECT_FALSE(SecretKey::from_base64(to_base64(Bytes(31))));
  EXPECT_FALSE(SecretKey::from_base64(to_base64(Bytes(33))));
  EXPECT_FALSE(SecretKey::from_base64(std::string(key.base64()) + "\n"));
  EXPECT_FALSE(SecretKey::from_base64(""));
}

TEST(TunnelKeys, SurviveOnDiskAndOnlyTheOwnerMayReadThem) {
  Directory directory;
  std::filesystem::path path = directory.path() / "keys";
  auto keys = TunnelKeys::open(path);
  ASSERT_TRUE(keys);
  auto first = keys->generate(1);
  auto second = keys->generate(2);
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(*keys->generate(1), *first) << "a generation is made once";
  struct stat info {};
  ASSERT_EQ(stat((path / "wg-1.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);

  auto again = TunnelKeys::open(path);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->public_keys(), (std::map<uint32_t, WireGuardKey>{{1, *first}, {2, *second}}));
  ASSERT_TRUE(again->drop(1));
  ASSERT_TRUE(again->drop(1));
  EXPECT_EQ(again->find(1), nullptr);
  EXPECT_FALSE(TunnelKeys::open(path)->public_keys().contains(1));
}

TEST(TunnelKeys, AFileThatOthersMayReadOrThatIsNoKeyIsRefused) {
  Directory directory;
  std::ofstream(directory.path() / "wg-1.key") << SecretKey::random().base64() << '\n';
  ASSERT_EQ(chmod((directory.path() / "wg-1.key").c_str(), 0640), 0);
  auto open = TunnelKeys::open(directory.path());
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, Errc::not_permitted);
  std::ofstream(directory.path() / "wg-1.key") << "not a key\n";
  ASSERT_EQ(chmod((directory.path() / "wg-1.key").c_str(), 0600), 0);
  open = TunnelKeys::open(directory.path());
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, Errc::corrupt);
}

TEST(TunnelKeys, OtherFilesAreLeftAlone) {
  Directory directory;
  for (const char* name : {"wg-.key", "wg-x.key", "wg-1.key.tmp", "wg-99999999999.key"})
    std::ofstream(directory.path() / name) << "x";
  auto keys = TunnelKeys::open(directory.path());
  ASSERT_TRUE(keys);
  EXPECT_TRUE(keys->public_keys().empty());
}

}  // namespace
}  // namespace mesh
