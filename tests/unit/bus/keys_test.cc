// Claim: secrets sign what verify_signature accepts, survive on disk in private files only, and are
// never overwritten. Method: published vectors, temporary directories, every truncation of a key
// file.
#include "broker/bus/keys.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

namespace fs = std::filesystem;

class KeysTest : public ::testing::Test {
 protected:
  fs::path dir;
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "mesh-keys-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir = pattern;
  }
  void TearDown() override { fs::remove_all(dir); }

  static std::string read(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  static void write(const fs::path& path, std::string_view contents) {
    std::ofstream(path) << contents;
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  }
};

TEST_F(KeysTest, Ed25519MatchesItsStandard) {  // RFC 8032, 7.1, tests 1 and 2
  auto secret = SignSecret::from_seed(
      *from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
  ASSERT_TRUE(secret);
  EXPECT_EQ(to_hex(secret->public_key().view()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(to_hex(secret->sign("", {}).view()),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
  auto second = SignSecret::from_seed(
      *from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
  EXPECT_EQ(to_hex(second->sign("", *from_hex("72")).view()),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
}

TEST_F(KeysTest, X25519MatchesItsStandard) {  // RFC 7748, 6.1
  auto secret = BoxSecret::from_bytes(
      *from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  ASSERT_TRUE(secret);
  EXPECT_EQ(to_hex(secret->public_key().view()),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
}

TEST_F(KeysTest, SignatureHoldsForItsDomainBytesAndKeyOnly) {
  SignSecret secret = SignSecret::generate();
  SignSecret other = SignSecret::generate();
  Signature signature = secret.sign(kRequestDomain, as_bytes("add site ams"));
  EXPECT_TRUE(
      verify_signature(secret.public_key(), kRequestDomain, as_bytes("add site ams"), signature));
  EXPECT_FALSE(
      verify_signature(secret.public_key(), kJoinDomain, as_bytes("add site ams"), signature));
  EXPECT_FALSE(
      verify_signature(secret.public_key(), kRequestDomain, as_bytes("add site fra"), signature));
  EXPECT_FALSE(
      verify_signature(other.public_key(), kRequestDomain, as_bytes("add site ams"), signature));
}

TEST_F(KeysTest, SecretsHaveOneSize) {
  EXPECT_EQ(BoxSecret::from_bytes(Bytes(31)).error().code, Errc::invalid);
  EXPECT_EQ(SignSecret::from_seed(Bytes(33)).error().code, Errc::invalid);
}

TEST_F(KeysTest, MovedFromIsEmpty) {
  SecretBytes a(8);
  a.writable()[0] = 7;
  SecretBytes b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT: the promise
  EXPECT_EQ(b.size(), 8u);
  EXPECT_EQ(b.view()[0], 7);
}

TEST_F(KeysTest, StoredKeysComeBackFromPrivateFiles) {
  BoxSecret box = BoxSecret::generate();
  SignSecret sign = SignSecret::generate();
  ASSERT_TRUE(box.store(dir / "box"));
  ASSERT_TRUE(sign.store(dir / "sign"));
  struct stat info {};
  ASSERT_EQ(::stat((dir / "box").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);

  auto box2 = BoxSecret::load(dir / "box");
  auto sign2 = SignSecret::load(dir / "sign");
  ASSERT_TRUE(box2) << box2.error().message;
  ASSERT_TRUE(sign2) << sign2.error().message;
  EXPECT_EQ(box2->public_key(), box.public_key());
  EXPECT_EQ(to_hex(box2->reveal()), to_hex(box.reveal()));
  EXPECT_EQ(sign2->public_key(), sign.public_key());
  EXPECT_EQ(sign2->sign("d", as_bytes("x")), sign.sign("d", as_bytes("x")));
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(dir)) ++files;
  EXPECT_EQ(files, 2u) << "a temporary file was left";
}

TEST_F(KeysTest, StoreNeverReplacesAKey) {
  BoxSecret first = BoxSecret::generate();
  ASSERT_TRUE(first.store(dir / "key"));
  auto again = BoxSecret::generate().store(dir / "key");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::conflict);
  EXPECT_EQ(BoxSecret::load(dir / "key")->public_key(), first.public_key());
}

TEST_F(KeysTest, LoosePermissionsAreRefusedWithTheFix) {
  ASSERT_TRUE(BoxSecret::generate().store(dir / "key"));
  for (fs::perms extra : {fs::perms::group_read, fs::perms::others_read, fs::perms::group_write}) {
    fs::permissions(dir / "key", fs::perms::owner_read | fs::perms::owner_write | extra);
    auto loaded = BoxSecret::load(dir / "key");
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, Errc::not_permitted);
    EXPECT_NE(loaded.error().fix.find("chmod 600 '" + (dir / "key").string()), std::string::npos)
        << loaded.error().fix;
  }
}

TEST_F(KeysTest, WhatIsNoKeyFileIsRefused) {
  EXPECT_EQ(BoxSecret::load(dir / "none").error().code, Errc::not_found);
  EXPECT_EQ(BoxSecret::load(dir).error().code, Errc::invalid);

  ASSERT_TRUE(BoxSecret::generate().store(dir / "box"));
  EXPECT_EQ(SignSecret::load(dir / "box").error().code, Errc::corrupt) << "a key of another kind";

  const std::string good = read(dir / "box");
  for (size_t size = 0; size + 1 < good.size(); ++size) {  // without its newline the line is whole
    write(dir / "cut", good.substr(0, size));
    EXPECT_EQ(BoxSecret::load(dir / "cut").error().code, Errc::corrupt) << size;
  }
  for (const std::string& more :
       {std::string("x"), std::string("\nAAAA"), std::string(1000, '\n')}) {
    write(dir / "long", good + more);
    EXPECT_EQ(BoxSecret::load(dir / "long").error().code, Errc::corrupt);
  }
}

TEST_F(KeysTest, RandomBytesDiffer) {
  EXPECT_NE(random_array<RequestId>(), random_array<RequestId>());
}

TEST_F(KeysTest, HardenedProcessLeavesNoCore) {
  EXPECT_EXIT(
      {
        rlimit limit{};
        bool good = harden_process().has_value() && ::prctl(PR_GET_DUMPABLE) == 0 &&
                    ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0;
        std::exit(good ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace mesh
